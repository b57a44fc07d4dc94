#include "server/server.h"

#include "base/mem.h"
#include "io/clock.h"
#include "io/disk.h"
#include "io/ram_disk.h"
#include "io/socket.h"
#include "server/datadir.h"
#include "server/host.h"
#include "server/logger.h"
#include "server/peers.h"
#include "server/server_private.h"
#include "server/watchdog.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* With durability memory the log is held in memory: bounded where no retention says how. */
#define MEMORY_LOG_BYTES_DEFAULT (256u * MIB)

/* After goaway and with nothing in flight, clients get this long to go by themselves. */
#define GOAWAY_GRACE_MS 500u
/* Then the Close frames get this long to be answered. */
#define CLOSE_GRACE_MS 500u

/* What the disk has not done so long after the drain's bound, or after another signal, is not
 * waited for. */
#define STOP_GRACE_MS 2000u
#define STOP_HURRY_MS 500u

/* Texts about the data directory, whose name is any path. */
#define WHY_SIZE    512u
#define DETAIL_SIZE 4608u

struct instance {
    struct server server;
    struct config config; /* a shallow copy; the caller's owns what it points to */
    struct disk *disk;
    struct ram_disk *ram;
    struct datadir dir;
    int signal_fd;
    uint64_t stop_by_ms; /* set by the drain */
    bool hurry;          /* another signal came meanwhile */
    bool told;           /* why it fails */
    char address[SOCKET_ADDRESS_TEXT];
    unsigned hosts_open;
    unsigned workers_ready;
    unsigned reactors_ready;
};

static enum rc failed(struct instance *instance, const char *what, enum rc rc, const char *detail)
{
    instance->told = true;
    log_event(LEVEL_ERROR, what, FIELD_TEXT("reason", rc_text(rc)), FIELD_TEXT("detail", detail));
    return rc;
}

/* ---- storage --------------------------------------------------------------------------------- */

/* Of what the data directory has refused: with the name of the file where it is known. */
static enum rc failed_on(struct instance *instance, const char *what, enum rc rc)
{
    char detail[DETAIL_SIZE];
    struct disk_trouble trouble = {.rc = RC_OK};
    if (instance->disk != NULL) {
        disk_trouble_get(instance->disk, &trouble);
    }
    const bool known = trouble.rc == rc;
    (void)snprintf(detail, sizeof(detail), "%s%s%s", instance->config.data, known ? "/" : "",
                   known ? trouble.text : "");
    return failed(instance, what, rc, detail);
}

/* `why` is text, or "". */
static enum rc failed_why(struct instance *instance, const char *what, enum rc rc, const char *why)
{
    return why[0] == '\0' ? failed_on(instance, what, rc) : failed(instance, what, rc, why);
}

static enum rc storage_open_root(struct instance *instance)
{
    const char *data = instance->config.data;
    struct disk_trouble trouble;
    const enum rc rc = disk_open(data, &instance->disk, &trouble);
    if (rc != RC_OK) {
        char detail[DETAIL_SIZE];
        (void)snprintf(detail, sizeof(detail), "%s%s%s", data, trouble.rc == rc ? ": " : "",
                       trouble.rc == rc ? trouble.text : "");
        return failed(instance, "cannot open the data directory", rc, detail);
    }
    instance->server.storage = disk_storage(instance->disk);
    return RC_OK;
}

static enum rc storage_open_disk(struct instance *instance)
{
    enum rc rc = storage_open_root(instance);
    if (rc != RC_OK) {
        return rc;
    }
    rc = disk_lock(instance->disk);
    if (rc == RC_LOCKED) {
        return failed(instance,
                      "another server runs on this data directory: stop it, or give --data another "
                      "folder",
                      rc, instance->config.data);
    }
    return rc == RC_OK ? rc : failed_on(instance, "cannot lock the data directory", rc);
}

static enum rc storage_open(struct instance *instance)
{
    struct config *config = &instance->config;
    if (config->durability != DURABILITY_MEMORY) {
        return storage_open_disk(instance);
    }
    if (config->retention_bytes == 0) {
        config->retention_bytes = MEMORY_LOG_BYTES_DEFAULT;
    }
    const enum rc rc = ram_disk_open(&instance->ram);
    if (rc == RC_OK) {
        instance->server.storage = ram_disk_storage(instance->ram);
    }
    return rc;
}

static enum rc datadir_start(struct instance *instance, uint64_t incarnation)
{
    struct server *server = &instance->server;
    char why[WHY_SIZE] = "";
    enum rc rc = datadir_open(&server->storage, &instance->config, incarnation, &instance->dir, why,
                              sizeof(why));
    if (rc != RC_OK) {
        return failed_why(instance, "cannot use the data directory", rc, why);
    }
    rc = datadir_check(&server->storage, &instance->config, &instance->dir, why, sizeof(why));
    if (rc != RC_OK) {
        return failed_why(instance, "cannot read the data directory", rc, why);
    }
    if (instance->dir.partitions != instance->config.partitions && !instance->dir.fresh) {
        log_event(LEVEL_INFO, "the data directory keeps the number of partitions it was made with",
                  FIELD_U64("partitions", instance->dir.partitions));
    }
    server->incarnation = instance->dir.incarnation;
    server->partitions = instance->dir.partitions;
    return RC_OK;
}

/* ---- partitions ------------------------------------------------------------------------------ */

static enum rc hosts_recover(struct instance *instance)
{
    struct server *server = &instance->server;
    server->hosts = mem_calloc(server->partitions, sizeof(struct host *));
    server->ready = mem_calloc(server->partitions, sizeof(struct stats_flag));
    if (server->hosts == NULL || server->ready == NULL) {
        return RC_NOMEM;
    }
    if (instance->dir.lost) {
        log_plain(LEVEL_WARN, "a partition is missing and begins anew: every channel of this "
                              "directory begins a new epoch");
    } else if (instance->dir.unclean) {
        log_plain(LEVEL_WARN,
                  "the last run ended with the machine or after a failed sync, and without "
                  "fsync what it showed may be lost: every channel begins a new epoch");
    }
    uint64_t tick_max = 0;
    for (unsigned i = 0; i < server->partitions; i++) {
        const enum rc rc = host_recover(server, i, instance->dir.unclean, &server->hosts[i]);
        if (rc == RC_CORRUPT) {
            return failed(instance, "the log is damaged: start with --repair to keep what is whole",
                          rc, instance->config.data);
        }
        if (rc != RC_OK) {
            return failed_on(instance, "cannot recover the log", rc);
        }
        instance->hosts_open++;
        const uint64_t tick = host_tick_max(server->hosts[i]);
        tick_max = tick > tick_max ? tick : tick_max;
    }
    ticket_init(&server->ticks, tick_max + 1);
    return RC_OK;
}

/* ---- threads --------------------------------------------------------------------------------- */

static enum rc workers_init(struct instance *instance)
{
    struct server *server = &instance->server;
    server->committers = mem_calloc(server->threads, sizeof(struct worker));
    if (server->committers == NULL) {
        return RC_NOMEM;
    }
    enum rc rc = worker_init(&server->reader, "reader", server->threads);
    if (rc != RC_OK) {
        return rc;
    }
    rc = worker_init(&server->keeper, "keeper", server->threads);
    if (rc != RC_OK) {
        return rc;
    }
    for (unsigned i = 0; i < server->threads; i++) {
        rc = worker_init(&server->committers[i], "committer", 1);
        if (rc != RC_OK) {
            return rc;
        }
        instance->workers_ready++;
        struct mesh_endpoint *endpoint = &server->mesh.endpoints[i];
        worker_lane_set(&server->committers[i], 0, &endpoint->bell, endpoint->wake_fd);
        worker_lane_set(&server->reader, i, &endpoint->bell, endpoint->wake_fd);
        worker_lane_set(&server->keeper, i, &endpoint->bell, endpoint->wake_fd);
    }
    return RC_OK;
}

static enum rc workers_start(struct server *server)
{
    enum rc rc = worker_start(&server->reader);
    if (rc == RC_OK) {
        rc = worker_start(&server->keeper);
    }
    for (unsigned i = 0; rc == RC_OK && i < server->threads; i++) {
        rc = worker_start(&server->committers[i]);
    }
    return rc;
}

static enum rc reactors_init(struct instance *instance)
{
    struct server *server = &instance->server;
    server->reactors = mem_calloc(server->threads, sizeof(struct reactor));
    if (server->reactors == NULL) {
        return RC_NOMEM;
    }
    for (unsigned i = 0; i < server->threads; i++) {
        const enum rc rc = reactor_init(&server->reactors[i], server, i);
        instance->reactors_ready++;
        if (rc != RC_OK) {
            return rc;
        }
    }
    for (unsigned i = 0; i < server->partitions; i++) {
        server->reactors[server_owner_of(server, i)].hosts[i] = server->hosts[i];
    }
    struct reactor *acceptor = &server->reactors[0];
    acceptor->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    acceptor->listen.fd = server->listen_fd;
    return RC_OK;
}

static const char *uring_missing(enum rc rc)
{
    if (rc == RC_DENIED) {
        return "the system forbids io_uring to this process (a container's rules, or "
               "kernel.io_uring_disabled)";
    }
    if (rc == RC_NOT_FOUND) {
        return "this kernel has no io_uring, or lacks what is needed of it";
    }
    return rc == RC_NOMEM ? "no memory for io_uring, or too little that may be locked"
                          : "io_uring does not work here as it should";
}

/* Takes io_uring for the reactors' writes where that is wished and possible. */
static enum rc io_choose(struct instance *instance)
{
    struct server *server = &instance->server;
    const enum config_io wish = instance->config.io;
    enum rc rc = RC_OK;
    for (unsigned i = 0; rc == RC_OK && wish != IO_EPOLL && i < server->threads; i++) {
        rc = burst_use_uring(&server->reactors[i].burst);
    }
    if (rc == RC_OK) {
        return RC_OK;
    }
    if (wish == IO_URING) {
        return failed(instance, "cannot use io_uring, and --io uring asks for it", rc,
                      uring_missing(rc));
    }
    for (unsigned i = 0; i < server->threads; i++) {
        burst_deinit(&server->reactors[i].burst);
    }
    log_event(LEVEL_INFO, "io_uring is not used", FIELD_TEXT("why", uring_missing(rc)));
    return RC_OK;
}

/* ---- start ----------------------------------------------------------------------------------- */

static enum rc listen_start(struct instance *instance)
{
    const struct config *config = &instance->config;
    const enum rc rc = socket_listen(config->listen.host, config->listen.port, (int)config->backlog,
                                     &instance->server.listen_fd, instance->address);
    if (rc == RC_OK) {
        return RC_OK;
    }
    char text[CONFIG_ADDRESS_TEXT_SIZE];
    config_address_text(&config->listen, text);
    return failed(instance,
                  rc == RC_EXISTS
                      ? "cannot listen: the address is in use by another program; give another "
                        "one with --listen HOST:PORT"
                      : "cannot listen",
                  rc, text);
}

static enum rc origins_init(struct server *server)
{
    const struct config_list *list = &server->config->allowed_origins;
    if (list->count == 0) {
        return RC_OK;
    }
    server->origins = mem_calloc(list->count, sizeof(struct bytes));
    if (server->origins == NULL) {
        return RC_NOMEM;
    }
    for (size_t i = 0; i < list->count; i++) {
        server->origins[i] = bytes_of_text(list->items[i]);
    }
    server->origin_count = list->count;
    return RC_OK;
}

/* As many descriptors as we may have: each connection is one. */
static void descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static enum rc random_draw(void *to, size_t size)
{
    return getrandom(to, size, 0) == (ssize_t)size ? RC_OK : RC_IO;
}

#define THREADS_MAX 64u /* a topic's watchers are one word */

static unsigned thread_count(const struct config *config)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const uint64_t wanted =
        config->threads > 0 ? config->threads : (uint64_t)(cores > 0 ? cores : 1);
    return (unsigned)(wanted < THREADS_MAX ? wanted : THREADS_MAX);
}

/* A terminal that goes is a wish to end, unless whoever started us has said otherwise (nohup). */
static bool hears_hangup(void)
{
    struct sigaction action;
    return sigaction(SIGHUP, NULL, &action) == 0 && action.sa_handler != SIG_IGN;
}

static enum rc signals_open(struct instance *instance)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    if (hears_hangup()) {
        (void)sigaddset(&set, SIGHUP);
    }
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    instance->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return instance->signal_fd >= 0 ? RC_OK : RC_IO;
}

static enum rc instance_open(struct instance *instance)
{
    struct server *server = &instance->server;
    uint64_t seeds[3];
    enum rc rc = random_draw(seeds, sizeof(seeds));
    if (rc != RC_OK) {
        return failed(instance, "no randomness", rc, NULL);
    }
    server->hash_seed = seeds[0];
    server->salt_seed = seeds[2];
    server->config = &instance->config;
    server->clock = &clock_real;
    server->threads = thread_count(&instance->config);
    descriptors_raise();
    rc = signals_open(instance);
    if (rc == RC_OK) {
        rc = storage_open(instance);
    }
    if (rc == RC_OK) {
        rc = datadir_start(instance, seeds[1]);
    }
    if (rc == RC_OK) {
        rc = hosts_recover(instance);
    }
    if (rc == RC_OK) {
        rc = listen_start(instance);
    }
    if (rc == RC_OK) {
        rc = origins_init(server);
    }
    if (rc == RC_OK) {
        rc = peers_open(server->hash_seed, &server->peers);
    }
    if (rc == RC_OK) {
        rc = mesh_init(&server->mesh, server->threads + 1);
    }
    if (rc == RC_OK) {
        rc = workers_init(instance);
    }
    if (rc == RC_OK) {
        rc = reactors_init(instance);
    }
    return rc == RC_OK ? io_choose(instance) : rc;
}

static enum rc threads_start(struct server *server)
{
    enum rc rc = workers_start(server);
    for (unsigned i = 0; rc == RC_OK && i < server->threads; i++) {
        rc = reactor_start(&server->reactors[i]);
    }
    return rc;
}

/* ---- stop ------------------------------------------------------------------------------------ */

static void broadcast(struct server *server, enum mail_kind kind)
{
    for (unsigned i = 0; i < server->threads; i++) {
        struct mail *mail = mail_new(kind, sizeof(*mail), (struct bytes){0}, NULL);
        if (mail == NULL) {
            mem_exhausted("the reactors cannot be told to stop");
        }
        mesh_send(&server->mesh, server_main_endpoint(server), i, mail);
    }
    (void)mesh_flush(&server->mesh, server_main_endpoint(server));
}

/* Waits for a signal, for mail, or for the time. True: a signal came. */
static bool wait_signal(struct instance *instance, int timeout_ms)
{
    struct server *server = &instance->server;
    struct pollfd fds[2] = {
        {.fd = instance->signal_fd, .events = POLLIN},
        {.fd = server->mesh.endpoints[server_main_endpoint(server)].wake_fd, .events = POLLIN},
    };
    struct doorbell *bell = &server->mesh.endpoints[server_main_endpoint(server)].bell;
    doorbell_arm(bell);
    if (!mesh_ready(&server->mesh, server_main_endpoint(server))) {
        (void)poll(fds, 2, timeout_ms);
    }
    doorbell_disarm(bell);
    mesh_drain_wake(&server->mesh, server_main_endpoint(server));
    struct signalfd_siginfo info;
    return read(instance->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info);
}

static unsigned count_drained(struct server *server)
{
    unsigned count = 0;
    struct mail *mail;
    while ((mail = mesh_receive(&server->mesh, server_main_endpoint(server))) != NULL) {
        count += mail->kind == MAIL_DRAINED ? 1 : 0;
        mail_free(mail);
    }
    return count;
}

static uint64_t now_ms(const struct server *server)
{
    return clock_mono_ns(server->clock) / 1000000u;
}

/* Until every reactor has nothing in flight and has had its grace, or the time is up, or a second
 * signal comes. True: nothing was in flight. */
static bool drain(struct instance *instance)
{
    struct server *server = &instance->server;
    const uint64_t begin = now_ms(server);
    const uint64_t end = begin + instance->config.drain_timeout_ms;
    unsigned drained = 0;
    instance->stop_by_ms = end + STOP_GRACE_MS;
    stats_flag_set(&server->draining, true);
    broadcast(server, MAIL_DRAIN);
    for (;;) {
        const uint64_t now = now_ms(server);
        const bool graced =
            now >= begin + GOAWAY_GRACE_MS || stats_counter_get(&server->connections) == 0;
        if (drained == server->threads && graced) {
            return true;
        }
        if (now >= end) {
            return false;
        }
        if (wait_signal(instance, 10)) {
            instance->stop_by_ms = now + STOP_HURRY_MS;
            instance->hurry = true;
            return false;
        }
        drained += count_drained(server);
    }
}

/* Close frames, and a moment for their answers. */
static void close_clients(struct instance *instance)
{
    struct server *server = &instance->server;
    const uint64_t end = now_ms(server) + CLOSE_GRACE_MS;
    broadcast(server, MAIL_CLOSE);
    while (stats_counter_get(&server->connections) > 0 && now_ms(server) < end) {
        if (wait_signal(instance, 10)) {
            instance->stop_by_ms = now_ms(server) + STOP_HURRY_MS;
            return;
        }
        (void)count_drained(server);
    }
}

static void threads_stop(struct server *server)
{
    broadcast(server, MAIL_STOP);
    for (unsigned i = 0; i < server->threads; i++) {
        reactor_join(&server->reactors[i]);
    }
    for (unsigned i = 0; i < server->threads; i++) {
        worker_stop(&server->committers[i]);
    }
    worker_stop(&server->reader);
    worker_stop(&server->keeper);
}

static void instance_close(struct instance *instance)
{
    struct server *server = &instance->server;
    for (unsigned i = 0; i < instance->reactors_ready; i++) {
        reactor_deinit(&server->reactors[i]);
    }
    for (unsigned i = 0; i < instance->hosts_open; i++) {
        host_close(server->hosts[i]);
    }
    for (unsigned i = 0; i < instance->workers_ready; i++) {
        worker_deinit(&server->committers[i]);
    }
    worker_deinit(&server->reader);
    worker_deinit(&server->keeper);
    mesh_deinit(&server->mesh);
    peers_close(server->peers);
    if (server->reactors != NULL && server->threads > 0) {
        socket_close(server->reactors[0].spare_fd);
    }
    socket_close(server->listen_fd);
    socket_close(instance->signal_fd);
    mem_free(server->reactors);
    mem_free(server->committers);
    mem_free(server->hosts);
    mem_free(server->ready);
    mem_free(server->origins);
    disk_close(instance->disk);
    ram_disk_close(instance->ram);
}

/* ---- main ------------------------------------------------------------------------------------ */

static bool on_loopback(const struct instance *instance)
{
    return strncmp(instance->address, "127.", 4) == 0 ||
           strncmp(instance->address, "[::1]", 5) == 0;
}

/* What a newcomer may try, whatever the address. */
static void try_text(const struct instance *instance, const char *command, char *to, size_t size)
{
    const bool usual = strcmp(instance->address, "127.0.0.1:8470") == 0;
    (void)snprintf(to, size, "build/seriatim %s%s%s%s", command, usual ? "" : " --url ws://",
                   usual ? "" : instance->address, usual ? "" : "/v1/ws");
}

/* A few lines for a person on a terminal; the same in the log of events elsewhere. */
static void greet(const struct instance *instance)
{
    const struct config *config = &instance->config;
    const bool memory = config->durability == DURABILITY_MEMORY;
    const char *who = on_loopback(instance) ? "open to everybody on this machine: there is no "
                                              "authentication yet"
                                            : "open to everybody who can reach this address: there "
                                              "is no authentication yet";
    char sub[160];
    char pub[160];
    try_text(instance, "sub hello --from earliest", sub, sizeof(sub));
    try_text(instance, "pub hello 'Hello, world'", pub, sizeof(pub));
    log_event(
        LEVEL_INFO, "listening", FIELD_TEXT("addr", instance->address),
        FIELD_TEXT("data", memory ? "-" : config->data),
        FIELD_TEXT("durability", config_durability_text(config->durability)),
        FIELD_TEXT("io", burst_uses_uring(&instance->server.reactors[0].burst) ? "uring" : "epoll"),
        FIELD_U64("threads", instance->server.threads),
        FIELD_U64("partitions", instance->server.partitions));
    if (isatty(STDERR_FILENO) == 0) {
        log_event(on_loopback(instance) ? LEVEL_INFO : LEVEL_WARN, "access", FIELD_TEXT("who", who),
                  FIELD_TEXT("try", sub), FIELD_TEXT("and", pub));
        return;
    }
    (void)fprintf(stderr,
                  "\n  Seriatim %s listens on ws://%s/v1/ws\n"
                  "  data     %s (durability %s)\n"
                  "  access   %s\n\n"
                  "  Try, in two other terminals:\n"
                  "    %s\n"
                  "    %s\n\n",
                  SERIATIM_VERSION, instance->address, memory ? "in memory" : config->data,
                  config_durability_text(config->durability), who, sub, pub);
}

/* Until every partition has applied what recovery wanted first; then the run is marked, and clients
 * are let in. False: a signal came meanwhile, or the mark could not be written. */
static bool open_doors(struct instance *instance)
{
    struct server *server = &instance->server;
    while (stats_counter_get(&server->started) < server->partitions) {
        if (wait_signal(instance, 1)) {
            return false;
        }
    }
    const enum rc rc = datadir_mark(&server->storage, &instance->config);
    /* With fsync a full disk may be read from; without, nobody may see what the next start could
     * not know to be in doubt. */
    const bool readable = rc == RC_NOSPACE && instance->config.durability == DURABILITY_FSYNC;
    if (rc != RC_OK && !readable) {
        (void)failed_on(instance, "cannot write to the data directory", rc);
        return false;
    }
    stats_flag_set(&server->open, true);
    return true;
}

static void run(struct instance *instance)
{
    if (!open_doors(instance)) {
        return;
    }
    greet(instance);
    while (!wait_signal(instance, -1)) {
    }
    log_plain(LEVEL_INFO, "draining");
    if (!drain(instance)) {
        log_plain(LEVEL_WARN, "stopping with work in flight");
    }
    if (!instance->hurry) {
        close_clients(instance);
    }
}

/* The rest waits for the disk, as long as that is bearable. */
static void stop(struct instance *instance)
{
    struct server *server = &instance->server;
    const uint64_t now = now_ms(server);
    const uint64_t left =
        instance->stop_by_ms > now + STOP_HURRY_MS ? instance->stop_by_ms - now : STOP_HURRY_MS;
    struct watchdog watchdog;
    const bool watched = watchdog_start(&watchdog, instance->signal_fd, left) == RC_OK;
    threads_stop(server);
    if (instance->disk != NULL) {
        if (disk_sync(instance->disk) != RC_OK) {
            host_sync_failed(server);
        } else if (datadir_unmark(&server->storage) != RC_OK) {
            log_plain(LEVEL_WARN,
                      "the mark of this run could not be removed: after a power failure "
                      "the next start may begin new epochs");
        }
    }
    if (watched) {
        watchdog_end(&watchdog);
    }
}

int server_main(const struct config *config)
{
    struct instance *instance = mem_calloc(1, sizeof(*instance));
    if (instance == NULL) {
        log_event(LEVEL_ERROR, "cannot start", FIELD_TEXT("reason", rc_text(RC_NOMEM)));
        return 1;
    }
    instance->config = *config;
    instance->server.listen_fd = -1;
    instance->server.reader.wake_fd = -1;
    instance->server.keeper.wake_fd = -1;
    instance->signal_fd = -1;
    enum rc rc = instance_open(instance);
    if (rc == RC_OK) {
        rc = logger_start();
    }
    if (rc == RC_OK) {
        rc = threads_start(&instance->server);
        if (rc == RC_OK) {
            run(instance);
            stop(instance);
        } else {
            threads_stop(&instance->server);
        }
    }
    if (rc != RC_OK && !instance->told) {
        (void)failed(instance, "cannot start", rc, NULL);
    } else if (rc == RC_OK) {
        log_plain(LEVEL_INFO, "stopped");
    }
    const int status = instance->told ? 1 : 0;
    logger_stop();
    instance_close(instance);
    mem_free(instance);
    return status;
}
