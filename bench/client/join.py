"""Answers beside their rows, as one writes it: all of them in a dict."""
import csv
import json
import sys


def join(source, target, *answers):
    texts = {}
    for file in answers:
        with open(file, encoding="utf-8") as lines:
            for line in lines:
                answer = json.loads(line)
                texts[answer["custom_id"]] = answer["response"]["body"]["choices"][0]["message"]["content"]
    with open(source, newline="", encoding="utf-8") as rows, open(target, "w", newline="", encoding="utf-8") as out:
        reader, writer = csv.reader(rows), csv.writer(out)
        writer.writerow(next(reader) + ["result"])
        for number, row in enumerate(reader, 1):
            writer.writerow(row + [texts.get(f"request-{number}", "")])


if __name__ == "__main__":
    join(*sys.argv[1:])
