"""
A large file in parts with the openai package: in one call, and call by call in an order of its own. It takes the
server and the key from OPENAI_BASE_URL and OPENAI_API_KEY, and ends with a traceback at the first thing that is not
as promised.
"""

import hashlib
import tempfile
import time
from pathlib import Path

import openai
from openai import OpenAI

LINE = (
    '{"custom_id": "request-%d", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "echo", '
    '"messages": [{"role": "user", "content": "row %d"}]}}\n'
)
CONTENT = "".join(LINE % (number, number) for number in range(1, 101)).encode()
MD5 = hashlib.md5(CONTENT).hexdigest()
FIRST, SECOND = CONTENT[:5000], CONTENT[5000:]

client = OpenAI()


def same(expected, actual):
    assert expected == actual, f"expected {expected!r}, but got {actual!r}"


def raised(kind, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except openai.APIStatusError as error:
        assert type(error) is kind, f"expected {kind.__name__}, but got {error!r}"
        return error
    raise AssertionError(f"expected {kind.__name__}, but nothing was raised")


def pending(size=len(CONTENT)):
    upload = client.uploads.create(bytes=size, filename="big.jsonl", mime_type="application/jsonl", purpose="batch")
    same(("upload", "pending", None), (upload.object, upload.status, upload.file))
    same((size, "big.jsonl", "batch", 3600), (upload.bytes, upload.filename, upload.purpose,
                                              upload.expires_at - upload.created_at))
    return upload


def check_completed(upload):
    same(("completed", "file", len(CONTENT)), (upload.status, upload.file.object, upload.file.bytes))
    same(("big.jsonl", "batch"), (upload.file.filename, upload.file.purpose))
    same(CONTENT, client.files.content(upload.file.id).content)


def in_one_call(folder):
    path = folder / "big.jsonl"
    path.write_bytes(CONTENT)

    check_completed(client.uploads.upload_file_chunked(
        file=path, mime_type="application/jsonl", purpose="batch", part_size=1000))
    upload = client.uploads.upload_file_chunked(
        file=CONTENT, filename="big.jsonl", bytes=len(CONTENT), mime_type="application/jsonl", purpose="batch",
        part_size=4096, md5=MD5)
    check_completed(upload)
    return upload.file


def call_by_call():
    upload = pending()
    second = client.uploads.parts.create(upload_id=upload.id, data=SECOND)
    first = client.uploads.parts.create(upload_id=upload.id, data=FIRST)
    same(("upload.part", upload.id), (first.object, first.upload_id))

    in_order = [first.id, second.id]
    raised(openai.BadRequestError, client.uploads.complete, upload.id, part_ids=in_order, md5="0" * 32)
    raised(openai.BadRequestError, client.uploads.complete, upload.id, part_ids=in_order[:1])
    check_completed(client.uploads.complete(upload.id, part_ids=in_order, md5=MD5))
    raised(openai.BadRequestError, client.uploads.parts.create, upload_id=upload.id, data=FIRST)


def cancelled():
    upload = pending(size=10)

    same("cancelled", client.uploads.cancel(upload.id).status)
    raised(openai.BadRequestError, client.uploads.parts.create, upload_id=upload.id, data=b"0123456789")
    raised(openai.NotFoundError, client.uploads.cancel, "upload_none")


def check_batch(file):
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    while batch.status not in ["completed", "failed"]:
        time.sleep(0.02)
        batch = client.batches.retrieve(batch.id)
    same(("completed", 100), (batch.status, batch.request_counts.completed))


with tempfile.TemporaryDirectory() as name:
    check_batch(in_one_call(Path(name)))
call_by_call()
cancelled()
