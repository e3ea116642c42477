"""The batch guide's script: expand, upload, create, poll, fetch, join, write."""
import sys
import time
from pathlib import Path

from expand import expand
from join import join
from openai import OpenAI

source, target, url = sys.argv[1:]
client = OpenAI(base_url=url, api_key="none")
expand(source, target + ".requests")
with open(target + ".requests", "rb") as lines:
    file = client.files.create(file=lines, purpose="batch")
batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
while batch.status not in ("completed", "failed", "expired", "cancelled"):
    time.sleep(0.5)          # the guide sleeps ten seconds
    batch = client.batches.retrieve(batch.id)
Path(target + ".answers").write_bytes(client.files.content(batch.output_file_id).content)
join(source, target, target + ".answers")
