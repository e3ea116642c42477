"""The models that a server has, asked by OpenAI's package."""
import sys
from openai import OpenAI

print(len(OpenAI(base_url=sys.argv[1], api_key="none").models.list().data))
