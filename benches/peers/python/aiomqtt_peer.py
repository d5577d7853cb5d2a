"""The job with aiomqtt."""

import asyncio
import json

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tally import FILTER, GROUP, HOST, PORT, WINDOW, handle


async def main() -> None:
    properties = Properties(PacketTypes.CONNECT)
    properties.ReceiveMaximum = WINDOW
    client = aiomqtt.Client(
        HOST, PORT, identifier="peer-aiomqtt", protocol=aiomqtt.ProtocolVersion.V5, properties=properties
    )
    async with client:
        await client.subscribe(f"$share/{GROUP}/{FILTER}", qos=1)
        async for message in client.messages:
            handle(json.loads(message.payload))


asyncio.run(main())
