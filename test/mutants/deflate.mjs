// Planted bugs of compression; see mutants.mjs.

export const deflate = [
  {
    name: 'inflated-without-a-limit',
    breaks: 'I11',
    what: 'the size limit holds for what is on the wire, not for what it inflates to',
    file: 'src/wire/ws_decode.c',
    find: 'inflater_append(decoder->inflater_, *payload, limits->message_bytes, &inflated);',
    replace: 'inflater_append(decoder->inflater_, *payload, UINT32_MAX - 1u, &inflated);',
    by: ['test:wire/ws_deflate', 'e2e:deflate/bombs'],
  },
  {
    name: 'shared-with-a-context',
    breaks: 'I2',
    what: 'a message compressed for all refers to the one before it',
    file: 'src/wire/deflate.c',
    find: `        if (!deflater->options.takeover) {
            const int status = deflateReset(&deflater->stream);`,
    replace: `        if (false) {
            const int status = deflateReset(&deflater->stream);`,
    by: ['sim', 'test:wire/deflate'],
  },
  {
    name: 'deflate-memory-not-given-back',
    breaks: 'I11',
    what: 'the room of a connection with a context is not given back when it ends',
    file: 'src/server/compress.c',
    find: '    compress->used -= conn->taken;',
    replace: '',
    by: ['sim', 'test:server/compress'],
  },
];
