// The errand of a plain HTTP client, by Node's own fetch.
const api = process.env.API;

async function show(name, url, options) {
  const answer = await fetch(url, options);
  console.log(`${name}: ${answer.status} ${answer.headers.get("x-nexus-error") ?? ""}`);
  console.log([...answer.headers], await answer.text());
}

await show("bare", `${api}/items?x=1`);
await show("placeholder", `${api}/items?x=1`, { headers: { authorization: "Bearer placeholder" } });
await show("post", `${api}/items`, { method: "POST", body: new Uint8Array(1 << 20) });
await show("denied", `${api}/admin`);
try {
  await fetch("https://unnamed.test/");
  console.log("unnamed: 200");
} catch (refused) {
  let text = "";
  for (let error = refused; error; error = error.cause) text += `${error.message} `;
  console.log(`unnamed: ${text.includes("403") ? "403" : text}`);
}
