// One request, by a JavaScript client that is left as it comes, named by the argument.
const API = new URL(process.env.API);

const CLIENTS = {
  fetch: () => fetch(API),

  https: async () => {
    const { get } = await import("node:http");
    return new Promise((resolve, reject) => get(API, resolve).on("error", reject));
  },

  openai: async () => {
    const { default: OpenAI } = await import("openai");
    return new OpenAI({ baseURL: API.href, apiKey: "placeholder" }).models.list();
  },

  aws: async () => {
    const { S3 } = await import("@aws-sdk/client-s3");
    const credentials = { accessKeyId: "placeholder", secretAccessKey: "placeholder" };
    const s3 = new S3({ endpoint: API.href, forcePathStyle: true, region: "eu-west-1", credentials });
    return s3.headBucket({ Bucket: "bucket-1" });
  },

  stripe: async () => {
    const { default: Stripe } = await import("stripe");
    const stripe = new Stripe("placeholder", { protocol: "http", host: API.hostname, port: API.port });
    return stripe.customers.list();
  },
};

// Whether the service's answer satisfies the client is no matter here: that it was asked, is.
await CLIENTS[process.argv[2]]().catch((error) => console.log(`${error}`));
process.exit();
