"""A CSV to request lines, as one writes it."""
import csv
import json
import sys


def expand(source, target):
    with open(source, newline="", encoding="utf-8") as rows, open(target, "w", encoding="utf-8") as lines:
        for number, row in enumerate(csv.DictReader(rows), 1):
            body = {"model": "echo", "messages": [
                {"role": "system", "content": "You are a careful reader."},
                {"role": "user", "content": f"Product {row['product']}: is this review happy? {row['text']}"}],
                "temperature": 0, "max_completion_tokens": 20}
            lines.write(json.dumps({"custom_id": f"request-{number}", "method": "POST", "url": "/v1/chat/completions",
                                    "body": body}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    expand(*sys.argv[1:])
