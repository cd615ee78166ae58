"""What an agent does with a provider, by the provider's SDK, named by the argument."""

import os
import sys

API = os.environ["API"]


def with_openai():
    import openai

    client = openai.OpenAI(base_url=f"{API}/v1")
    said = ""
    messages = [{"role": "user", "content": "Hello"}]
    for chunk in client.chat.completions.create(model="model-1", messages=messages, stream=True):
        if not said:  # the end of the stream waits for this call
            print("model:", client.models.list().data[0].id)
        said += chunk.choices[0].delta.content or ""
    print("said:", said)
    try:
        client.files.list()
    except openai.APIStatusError as refused:
        print("denied:", refused.status_code, refused.response.headers["x-nexus-error"])


def with_anthropic():
    import anthropic

    client = anthropic.Anthropic(base_url=API)
    said = ""
    messages = [{"role": "user", "content": "Hello"}]
    with client.messages.stream(model="model-1", max_tokens=10, messages=messages) as stream:
        for text in stream.text_stream:
            if not said:  # the end of the stream waits for this call
                print("model:", client.models.list().data[0].id)
            said += text
    print("said:", said)
    try:
        client.beta.files.list()
    except anthropic.APIStatusError as refused:
        print("denied:", refused.status_code, refused.response.headers["x-nexus-error"])


def with_github():
    import github

    client = github.Github(base_url=API, auth=github.Auth.Token(os.environ["GH_TOKEN"]))
    print("login:", client.get_user().login)
    repository = client.get_repo("octo/tower", lazy=True)
    for issue in repository.get_issues():
        print("issue:", issue.number, issue.title)
    try:
        repository.create_issue("Another")
    except github.GithubException as refused:
        print("denied:", refused.status, refused.headers["x-nexus-error"])


def with_slack():
    import slack_sdk
    import slack_sdk.errors

    client = slack_sdk.WebClient(base_url=f"{API}/api/", token=os.environ["SLACK_BOT_TOKEN"])
    print("user:", client.auth_test()["user"])
    print("channel:", client.conversations_list()["channels"][0]["name"])
    try:
        client.chat_postMessage(channel="C1", text="Hello")
    except slack_sdk.errors.SlackApiError as refused:
        headers = {name.lower(): value for name, value in refused.response.headers.items()}
        print("denied:", refused.response.status_code, headers["x-nexus-error"])


globals()[f"with_{sys.argv[1]}"]()
