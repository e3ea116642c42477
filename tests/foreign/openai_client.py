"""
The whole journey of a batch with the openai package, in the way its README shows each call.

It takes the server and the key from OPENAI_BASE_URL and OPENAI_API_KEY, prints what it saw as JSON lines, and ends with
a traceback at the first thing that is not as the package promises. The server must answer "break" with an error of
status 400, hold "hold" until somebody cancels, and repeat everything else.
"""

import json
import tempfile
import time
from pathlib import Path

import openai
from openai import OpenAI

DAY = 24 * 60 * 60
EXPIRY = {"anchor": "created_at", "seconds": 3600}

client = OpenAI()


def saw(step, **facts):
    print(json.dumps({"step": step, **facts}), flush=True)


def same(expected, actual):
    assert expected == actual, f"expected {expected!r}, but got {actual!r}"


def request(number, text):
    return {
        "custom_id": f"request-{number}",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "echo", "messages": [{"role": "user", "content": text}]},
    }


def jsonl(*texts):
    return "".join(json.dumps(request(number, text)) + "\n" for number, text in enumerate(texts, 1)).encode()


def raised(kind, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except openai.APIStatusError as error:
        assert type(error) is kind, f"expected {kind.__name__}, but got {error!r}"
        assert error.request_id.startswith("req_"), error.request_id
        return error
    raise AssertionError(f"expected {kind.__name__}, but nothing was raised")


def submitted(file, **more):
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", **more
    )


def ended(batch):
    while batch.status not in ["completed", "failed", "expired", "cancelled"]:
        time.sleep(0.02)
        batch = client.batches.retrieve(batch.id)
    return batch


def results(file_id):
    found = [json.loads(line) for line in client.files.content(file_id).text.splitlines()]
    return {line["custom_id"]: line for line in found}


def upload(folder):
    content = jsonl("one", "two", "break")
    path = folder / "requests.jsonl"
    path.write_bytes(content)

    with open(path, "rb") as opened:
        as_open_file = client.files.create(file=opened, purpose="batch")
    as_path = client.files.create(file=path, purpose="batch", expires_after=EXPIRY)
    as_bytes = client.files.create(file=content, purpose="batch")
    as_tuple = client.files.create(file=("naïve name.jsonl", content, "application/jsonl"), purpose="batch")

    files = [as_open_file, as_path, as_bytes, as_tuple]
    same(["requests.jsonl", "requests.jsonl", "upload", "naïve name.jsonl"], [file.filename for file in files])
    same([30 * DAY, 3600, 30 * DAY, 30 * DAY], [file.expires_at - file.created_at for file in files])
    for file in files:
        same(("file", "batch", "processed", len(content)), (file.object, file.purpose, file.status, file.bytes))
        assert type(file.created_at) is int and file._request_id.startswith("req_")
        same(file, client.files.retrieve(file.id))
    saw("upload", ids=[file.id for file in files])
    return files


def list_files(files):
    newest_first = [file.id for file in reversed(files)]

    same(newest_first, [file.id for file in client.files.list(limit=3)])
    same(newest_first[::-1], [file.id for file in client.files.list(limit=1, order="asc", purpose="batch")])
    same([], [file.id for file in client.files.list(purpose="batch_output")])
    saw("list files", ids=newest_first)


def content_of(file, folder):
    expected = jsonl("one", "two", "break")

    same(expected, client.files.content(file.id).content)
    client.files.content(file.id).write_to_file(folder / "whole.jsonl")
    with client.files.with_streaming_response.content(file.id) as response:
        response.stream_to_file(folder / "streamed.jsonl")
    same(expected, (folder / "whole.jsonl").read_bytes())
    same(expected, (folder / "streamed.jsonl").read_bytes())
    saw("content", bytes=len(expected))


def complete(file):
    batch = submitted(file, metadata={"customer": "naïve", "run": "7"}, output_expires_after=EXPIRY)
    same(("batch", "validating", DAY), (batch.object, batch.status, batch.expires_at - batch.created_at))
    same((0, 0, 0), (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed))
    same({"customer": "naïve", "run": "7"}, batch.metadata)
    same((None, None, None), (batch.errors, batch.output_file_id, batch.error_file_id))

    batch = ended(batch)
    same("completed", batch.status)
    same((3, 2, 1), (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed))
    assert batch.created_at <= batch.in_progress_at <= batch.finalizing_at <= batch.completed_at
    usage = batch.usage
    same(("echo", 2, 2, 4), (batch.model, usage.input_tokens, usage.output_tokens, usage.total_tokens))
    same((0, 0), (usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens))
    same((None, None, None), (batch.failed_at, batch.expired_at, batch.cancelled_at))

    output, errors = client.files.retrieve(batch.output_file_id), client.files.retrieve(batch.error_file_id)
    same(("batch_output", 3600), (output.purpose, output.expires_at - output.created_at))
    same(("batch_output", 3600), (errors.purpose, errors.expires_at - errors.created_at))
    answers, faults = results(output.id), results(errors.id)
    same({"request-1", "request-2"}, set(answers))
    same({"request-3"}, set(faults))
    same("one", answers["request-1"]["response"]["body"]["choices"][0]["message"]["content"])
    same("broken_on_purpose", faults["request-3"]["response"]["body"]["error"]["code"])
    saw("complete", id=batch.id)
    return batch


def fail():
    batch = ended(submitted(client.files.create(file=("bad.jsonl", jsonl("one") + b"{}\n"), purpose="batch")))

    same(("failed", "list"), (batch.status, batch.errors.object))
    fault = batch.errors.data[0]
    same((2, "missing_required_parameter", "custom_id"), (fault.line, fault.code, fault.param))
    assert fault.message and type(batch.failed_at) is int
    saw("fail", id=batch.id)
    return batch


def cancel():
    file = client.files.create(file=("held.jsonl", jsonl(*["hold"] * 100)), purpose="batch")

    batch = client.batches.cancel(submitted(file).id)
    same(("cancelling", True), (batch.status, type(batch.cancelling_at) is int))
    batch = ended(batch)
    same(("cancelled", True), (batch.status, type(batch.cancelled_at) is int))
    counts = batch.request_counts
    same((100, True), (counts.completed + counts.failed, counts.failed > 0))
    codes = {line["error"]["code"] for line in results(batch.error_file_id).values()}
    same({"batch_cancelled"}, codes)
    same("cancelled", client.batches.cancel(batch.id).status)
    saw("cancel", id=batch.id)
    return batch


def cancel_too_late(batch):
    error = raised(openai.ConflictError, client.batches.cancel, batch.id)

    same((409, "Cannot cancel a batch with status 'completed'."), (error.status_code, error.body["message"]))
    saw("cancel too late", id=batch.id)


def list_batches(batches, file):
    newest_first = [batch.id for batch in reversed(batches + [submitted(file) for _ in range(7)])]

    same(newest_first, [batch.id for batch in client.batches.list(limit=4)])
    same(newest_first, [batch.id for batch in client.batches.list()])
    first = client.batches.list(limit=4)
    same((4, True, True), (len(first.data), first.has_more, first.has_next_page()))
    same(newest_first[4:8], [batch.id for batch in first.get_next_page().data])
    saw("list batches", ids=newest_first)


def delete(file):
    deleted = client.files.delete(file.id)

    same((file.id, "file", True), (deleted.id, deleted.object, deleted.deleted))
    for gone in [client.files.retrieve, client.files.content, client.files.delete]:
        same(f"No such File object: {file.id}", raised(openai.NotFoundError, gone, file.id).body["message"])
    saw("delete", id=file.id)


def refusals(file):
    error = raised(openai.AuthenticationError, OpenAI(api_key="sk-wrong").files.list)
    same((401, "invalid_api_key"), (error.status_code, error.code))

    error = raised(openai.BadRequestError, client.batches.create, input_file_id=file.id, endpoint="/v1/nothing",
                   completion_window="24h")
    same(("endpoint", "invalid_value", "invalid_request_error"), (error.param, error.code, error.type))
    error = raised(openai.BadRequestError, submitted, file, metadata={"key": "x" * 513})
    same(("metadata.key", "string_above_max_length"), (error.param, error.code))
    error = raised(openai.BadRequestError, client.files.create, file=b"{}", purpose="nonsense")
    same(("purpose", "invalid_value"), (error.param, error.code))
    error = raised(openai.NotFoundError, client.batches.retrieve, "batch_none")
    same("No batch found with id 'batch_none'.", error.body["message"])
    saw("refusals")


def create_once(file):
    """The package sends no idempotency key by itself; a user can."""
    first, again = [submitted(file, extra_headers={"Idempotency-Key": "mine"}) for _ in range(2)]

    same(first.id, again.id)
    saw("create once", id=first.id)
    return first


def other_endpoints():
    same(["echo"], [model.id for model in client.models.list()])
    same(("echo", "model"), (client.models.retrieve("echo").id, client.models.retrieve("echo").object))
    error = raised(openai.NotFoundError, client.models.retrieve, "deepseek-ai/DeepSeek-V3")
    same(("model", "model_not_found", "The model 'deepseek-ai/DeepSeek-V3' does not exist"),
         (error.param, error.code, error.body["message"]))

    completion = client.chat.completions.create(model="echo", messages=[{"role": "user", "content": "Say this"}])
    same(("Say this", "stop"), (completion.choices[0].message.content, completion.choices[0].finish_reason))
    usage = completion.usage
    same((2, 2, 4), (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens))
    assert type(completion.created) is int and completion._request_id.startswith("req_")

    packed = client.embeddings.create(model="echo", input=["one", "two"])
    plain = client.embeddings.create(model="echo", input=["one", "two"], encoding_format="float")
    same([0, 1], [each.index for each in packed.data])
    for ours, theirs in zip(packed.data, plain.data):
        assert len(ours.embedding) == len(theirs.embedding) > 1
        assert all(abs(a - b) < 1e-6 for a, b in zip(ours.embedding, theirs.embedding)), (ours, theirs)
    saw("other endpoints")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = upload(folder)
        list_files(files)
        content_of(files[0], folder)
        batches = [complete(files[0]), fail(), cancel(), create_once(files[1])]
        cancel_too_late(batches[0])
        list_batches(batches, files[2])
        delete(files[3])
        refusals(files[0])
        other_endpoints()


main()
