// A broadcast server with Node and ws, as its documentation shows one: a set of clients for each
// channel, a send() for each of them. Written for the comparison in bench/peers; it keeps nothing,
// acknowledges nothing, and queues without a bound for a client that is slow.
//
// ws://ADDRESS/sub/NAME follows a channel; each message to /pub/NAME goes to all that do.
import { WebSocketServer } from 'ws'

const [host, port] = process.argv[2].split(':')
const channels = new Map()

function follow(name, socket) {
  const clients = channels.get(name) ?? new Set()
  channels.set(name, clients.add(socket))
  socket.on('close', () => {
    clients.delete(socket)
    if (clients.size === 0) channels.delete(name)
  })
}

function publish(name, socket) {
  socket.on('message', (data, binary) => {
    for (const client of channels.get(name) ?? []) client.send(data, { binary })
  })
}

const server = new WebSocketServer({ host, port: Number(port), perMessageDeflate: false })
server.on('connection', (socket, request) => {
  const [, kind, name] = request.url.split('/')
  socket.on('error', () => socket.terminate())
  if (kind === 'sub') follow(name, socket)
  else publish(name, socket)
})
