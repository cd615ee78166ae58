// What an agent does with a provider, by the provider's SDK, named by the argument.
const API = process.env.API;
const hello = [{ role: "user", content: "Hello" }];

const CLIENTS = {
  openai: async () => {
    const { default: OpenAI } = await import("openai");
    const client = new OpenAI({ baseURL: `${API}/v1` });
    let said = "";
    const stream = await client.chat.completions.create({ model: "model-1", messages: hello, stream: true });
    for await (const chunk of stream) {
      // The end of the stream waits for this call.
      if (!said) console.log("model:", (await client.models.list()).data[0].id);
      said += chunk.choices[0].delta.content ?? "";
    }
    console.log("said:", said);
    await client.files.list().catch((refused) => denied(refused.status, refused.headers));
  },

  anthropic: async () => {
    const { default: Anthropic } = await import("@anthropic-ai/sdk");
    const client = new Anthropic({ baseURL: API });
    let said = "";
    for await (const event of client.messages.stream({ model: "model-1", max_tokens: 10, messages: hello })) {
      if (event.type !== "content_block_delta") continue;
      if (!said) console.log("model:", (await client.models.list()).data[0].id);
      said += event.delta.text;
    }
    console.log("said:", said);
    await client.beta.files.list().catch((refused) => denied(refused.status, refused.headers));
  },

  github: async () => {
    const { Octokit } = await import("@octokit/rest");
    const client = new Octokit({ baseUrl: API, auth: process.env.GH_TOKEN });
    const tower = { owner: "octo", repo: "tower" };
    console.log("login:", (await client.users.getAuthenticated()).data.login);
    for (const { number, title } of (await client.issues.listForRepo(tower)).data) console.log("issue:", number, title);
    await client.issues.create({ ...tower, title: "Another" })
      .catch((refused) => denied(refused.status, new Headers(refused.response.headers)));
  },

  slack: async () => {
    const { WebClient } = await import("@slack/web-api");
    const settings = { slackApiUrl: `${API}/api/`, retryConfig: { retries: 0 } };
    const client = new WebClient(process.env.SLACK_BOT_TOKEN, settings);
    console.log("user:", (await client.auth.test()).user);
    console.log("channel:", (await client.conversations.list()).channels[0].name);
    await client.chat.postMessage({ channel: "C1", text: "Hello" })
      .catch((refused) => denied(refused.statusCode, new Headers(refused.headers)));
  },
};

function denied(status, headers) {
  console.log("denied:", status, headers.get("x-nexus-error"));
}

await CLIENTS[process.argv[2]]();
