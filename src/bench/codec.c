#include "bench/codec.h"

const struct bench_codec *bench_codec_find(const char *name)
{
    static const struct bench_codec *const codecs[] = {&bench_codec_json, &bench_codec_binary};
    for (size_t i = 0; i < sizeof(codecs) / sizeof(codecs[0]); i++) {
        if (strcmp(codecs[i]->name, name) == 0) {
            return codecs[i];
        }
    }
    return NULL;
}
