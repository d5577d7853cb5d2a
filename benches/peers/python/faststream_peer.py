"""The job with FastStream. `faststream run faststream_peer:app` starts it.

It asks for no Receive Maximum: its MQTT library ends a connection on which the broker goes beyond one, as Mosquitto 2.0 does,
and FastStream then waits for ever.
"""

from faststream import AckPolicy, FastStream
from faststream.mqtt import MQTTBroker, QoS
from tally import FILTER, GROUP, HOST, PORT, handle

broker = MQTTBroker(f"mqtt://{HOST}:{PORT}", client_id="peer-faststream", logger=None)
app = FastStream(broker, logger=None)


@broker.subscriber(FILTER, shared=GROUP, qos=QoS.AT_LEAST_ONCE, ack_policy=AckPolicy.ACK)
async def reading(body: dict) -> None:
    handle(body)
