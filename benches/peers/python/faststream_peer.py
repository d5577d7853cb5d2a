"""The job with FastStream. `faststream run faststream_peer:app` starts it."""

from faststream import AckPolicy, FastStream
from faststream.mqtt import MQTTBroker, QoS
from tally import FILTER, GROUP, HOST, PORT, WINDOW, handle

broker = MQTTBroker(f"mqtt://{HOST}:{PORT}", client_id="peer-faststream", receive_maximum=WINDOW, logger=None)
app = FastStream(broker, logger=None)


@broker.subscriber(FILTER, shared=GROUP, qos=QoS.AT_LEAST_ONCE, ack_policy=AckPolicy.ACK)
async def reading(body: dict) -> None:
    handle(body)
