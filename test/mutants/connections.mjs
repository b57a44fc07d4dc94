// Planted bugs of what the server says by itself on a connection; see mutants.mjs.

export const connections = [
  {
    name: 'no-goaway',
    breaks: 'P27',
    what: 'clients are not told that the server is about to stop',
    file: 'src/server/conn.c',
    find: `            MARK("conn: goaway");
            conn_ws_goaway(conn);`,
    replace: '',
    by: ['sim', 'e2e:lifecycle/SIGTERM'],
  },
  {
    name: 'no-goaway-for-who-is-late',
    breaks: 'P27',
    what: 'who connects while the server drains is not told that it is about to stop',
    file: 'src/server/conn_ws.c',
    find: 'rc == RC_OK && conn->reactor->draining && !was_ready &&',
    replace: 'false && !was_ready &&',
    by: ['sim', 'e2e:lifecycle/who was let in before a drain'],
  },
  {
    name: 'pong-that-waits-is-lost',
    breaks: 'P20',
    what: 'a connection at rest forgets the ping that it has not answered',
    file: 'src/server/conn_work.c',
    find: '           work->pong.size == 0;',
    replace: '           true;',
    by: ['sim'],
  },
  {
    name: 'pong-of-two-pings',
    breaks: 'P20',
    what: 'a pong that has waited answers all pings that came meanwhile, in one',
    file: 'src/server/conn_ws.c',
    find: '    buf_clear(&work->pong);',
    replace: '',
    by: ['sim'],
  },
];
