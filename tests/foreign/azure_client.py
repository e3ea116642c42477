"""
A batch and a single request with the client of the openai package for Azure, over Azure's older paths.

It takes the server and the key from OPENAI_BASE_URL and OPENAI_API_KEY, and ends with a traceback at the first thing
that is not as the package promises.
"""

import json
import os
import time
from urllib.parse import urlsplit

from openai import AzureOpenAI

server = urlsplit(os.environ["OPENAI_BASE_URL"])
client = AzureOpenAI(
    azure_endpoint=f"{server.scheme}://{server.netloc}",
    api_key=os.environ["OPENAI_API_KEY"],
    api_version="2024-10-21",
    max_retries=0,
)
body = {"model": "deployed", "messages": [{"role": "user", "content": "Say this"}]}
line = {"custom_id": "request-1", "method": "POST", "url": "/chat/completions", "body": body}

file = client.files.create(file=("in.jsonl", json.dumps(line).encode()), purpose="batch")
batch = client.batches.create(input_file_id=file.id, endpoint="/chat/completions", completion_window="24h")
assert (batch.endpoint, batch.errors, batch.request_counts.total) == ("/chat/completions", None, 0), batch
while batch.status not in ["completed", "failed", "expired", "cancelled"]:
    time.sleep(0.02)
    batch = client.batches.retrieve(batch.id)
output = json.loads(client.files.content(batch.output_file_id).text)
assert output["response"]["body"]["choices"][0]["message"]["content"] == "Say this", output
assert [each.id for each in client.batches.list()] == [batch.id]
assert client.chat.completions.create(**body).choices[0].message.content == "Say this"
