// The errand of a plain HTTP client, by the JavaScript client that the argument names. Each answers
// a function: method, URL, headers and body to status, headers (pairs) and text.
import process from "node:process";

async function byFetch(fetch, method, url, headers, body) {
  const answer = await fetch(url, { method, headers, body });
  return [answer.status, [...answer.headers], await answer.text()];
}

const CLIENTS = {
  fetch: async () => (...request) => byFetch(fetch, ...request),

  undici: async () => {
    const undici = await import("undici");
    undici.setGlobalDispatcher(new undici.EnvHttpProxyAgent());
    return (...request) => byFetch(undici.fetch, ...request);
  },

  axios: async () => {
    const { default: axios } = await import("axios");
    return async (method, url, headers, data) => {
      const answer = await axios({ method, url, headers, data, responseType: "text", validateStatus: () => true });
      return [answer.status, Object.entries(answer.headers), answer.data];
    };
  },

  https: async () => {
    const https = await import("node:https");
    return (method, url, headers, body) => new Promise((resolve, reject) => {
      const request = https.request(url, { method, headers }, async (answer) => {
        let text = "";
        for await (const piece of answer) text += piece;
        resolve([answer.statusCode, Object.entries(answer.headers), text]);
      });
      request.on("error", reject);
      request.end(body);
    });
  },
};

const api = process.env.API;
const ask = await CLIENTS[process.argv[2]]();

async function show(name, method, url, headers = {}, body = undefined) {
  const [status, answered, text] = await ask(method, url, headers, body);
  const refusal = answered.find(([key]) => key.toLowerCase() === "x-nexus-error")?.[1] ?? "";
  console.log(`${name}: ${status} ${refusal}`);
  console.log(answered, text);
}

await show("bare", "GET", `${api}/items?x=1`);
await show("placeholder", "GET", `${api}/items?x=1`, { authorization: "Bearer placeholder" });
await show("post", "POST", `${api}/items`, {}, new Uint8Array(1 << 20));
await show("denied", "GET", `${api}/admin`);
try {
  const [status] = await ask("GET", "https://unnamed.test/", {});
  console.log(`unnamed: ${status}`);
} catch (refused) {
  let text = "";
  for (let error = refused; error; error = error.cause) text += `${error.message} ${error.code ?? ""} `;
  // Deno does not say how the proxy answered CONNECT.
  console.log(`unnamed: ${/403|unsuccessful tunnel/.test(text) ? "403" : text}`);
}
process.exit();
