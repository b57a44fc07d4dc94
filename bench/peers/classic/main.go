// classic: a broadcast server in the design that most such servers written in Go have: a goroutine
// that reads and one that writes for each connection, a buffered channel between the hub and the
// writer, a mutex around the hub's map and one around each connection's writes. Written for the
// comparison in bench/peers; it keeps nothing, acknowledges nothing, and closes a client that is
// 256 messages behind.
//
// ws://ADDRESS/sub/NAME follows a channel, each message to ws://ADDRESS/pub/NAME goes to all that do.
package main

import (
	"flag"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	queueMessages = 256
	writeTimeout  = 10 * time.Second
)

type client struct {
	socket *websocket.Conn
	queue  chan *message
	// A writer and the answers to pings share the connection.
	mutex sync.Mutex
}

type message struct {
	kind int
	data []byte
}

type hub struct {
	mutex    sync.Mutex
	channels map[string]map[*client]bool
}

func (h *hub) add(name string, c *client) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.channels[name] == nil {
		h.channels[name] = make(map[*client]bool)
	}
	h.channels[name][c] = true
}

// Whoever takes a client off its channel closes its queue, so it is closed once.
func (h *hub) removeLocked(name string, c *client) {
	if h.channels[name][c] {
		delete(h.channels[name], c)
		close(c.queue)
	}
	if len(h.channels[name]) == 0 {
		delete(h.channels, name)
	}
}

func (h *hub) remove(name string, c *client) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.removeLocked(name, c)
}

func (h *hub) broadcast(name string, m *message) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	for c := range h.channels[name] {
		select {
		case c.queue <- m:
		default:
			h.removeLocked(name, c)
		}
	}
}

func (c *client) send(kind int, data []byte) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if err := c.socket.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return c.socket.WriteMessage(kind, data)
}

func (c *client) write() {
	defer c.socket.Close()
	for m := range c.queue {
		if c.send(m.kind, m.data) != nil {
			return
		}
	}
}

func (h *hub) follow(name string, socket *websocket.Conn) {
	c := &client{socket: socket, queue: make(chan *message, queueMessages)}
	socket.SetPingHandler(func(text string) error {
		return c.send(websocket.PongMessage, []byte(text))
	})
	h.add(name, c)
	go c.write()
	for {
		if _, _, err := socket.NextReader(); err != nil {
			break
		}
	}
	h.remove(name, c)
}

func (h *hub) publish(name string, socket *websocket.Conn) {
	defer socket.Close()
	for {
		kind, data, err := socket.ReadMessage()
		if err != nil {
			return
		}
		h.broadcast(name, &message{kind, data})
	}
}

func main() {
	address := flag.String("listen", "127.0.0.1:0", "address to listen on")
	flag.Parse()
	h := &hub{channels: make(map[string]map[*client]bool)}
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	serve := func(prefix string, run func(string, *websocket.Conn)) {
		http.HandleFunc(prefix, func(w http.ResponseWriter, r *http.Request) {
			socket, err := upgrader.Upgrade(w, r, nil)
			if err == nil {
				run(strings.TrimPrefix(r.URL.Path, prefix), socket)
			}
		})
	}
	serve("/sub/", h.follow)
	serve("/pub/", h.publish)
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on %s", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
