// The job with MQTT.js: `handleMessage` acknowledges when its callback is called.
import mqtt from 'mqtt'

const { PEER_HOST, PEER_PORT, PEER_FILTER, PEER_GROUP, PEER_EVENTS, PEER_WINDOW } = process.env
const expected = Number(PEER_EVENTS)
const latencies = []
let handled = 0
let hot = 0

const client = mqtt.connect(`mqtt://${PEER_HOST}:${PEER_PORT}`, {
  clientId: 'peer-mqttjs',
  protocolVersion: 5,
  clean: true,
  properties: { receiveMaximum: Number(PEER_WINDOW) },
})

client.handleMessage = (packet, done) => {
  const reading = JSON.parse(packet.payload)
  if (reading.celsius > 80) hot += 1
  if (reading.sent_ns > 0) latencies.push(now_us() - reading.sent_ns / 1000)
  handled += 1
  done()
  if (handled === expected) console.log(JSON.stringify({ events: expected, hot, ...quantiles() }))
}

// Date.now() knows milliseconds only.
function now_us() {
  return (performance.timeOrigin + performance.now()) * 1000
}

// Of the latencies, in microseconds; none where nobody measures.
function quantiles() {
  if (latencies.length === 0) return {}
  latencies.sort((a, b) => a - b)
  const at = (quantile) => Math.round(latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * quantile))])
  return { p50_us: at(0.5), p99_us: at(0.99), max_us: at(1) }
}

client.on('connect', () => client.subscribe(`$share/${PEER_GROUP}/${PEER_FILTER}`, { qos: 1 }))
process.on('SIGTERM', () => client.end(false, {}, () => process.exit(0)))
