// What an agent does with S3, by the AWS SDK for JavaScript. It reads no proxy variable: the agents
// of its request handler are what leads it here.
import { createHash } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import path from "node:path";

import * as aws from "@aws-sdk/client-s3";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { HttpsProxyAgent } from "https-proxy-agent";

const folder = process.env.OBJECTS;
const Bucket = "bucket-1";
const s3 = new aws.S3({
  endpoint: process.env.S3,
  forcePathStyle: true,
  requestHandler: new NodeHttpHandler({ httpsAgent: new HttpsProxyAgent(process.env.HTTPS_PROXY) }),
});

async function get(Key) {
  const answer = await s3.getObject({ Bucket, Key });
  return Buffer.from(await answer.Body.transformToByteArray());
}

async function listed() {
  const { Contents } = await s3.listObjectsV2({ Bucket });
  return Contents.map(({ Key }) => Key).join(", ");
}

await s3.createBucket({ Bucket, CreateBucketConfiguration: { LocationConstraint: "eu-west-1" } });
for (const name of await readdir(folder)) {
  const sent = await readFile(path.join(folder, name));
  await s3.putObject({ Bucket, Key: `a b/${name}`, Body: sent });
  console.log(`${name}: ${sent.equals(await get(`a b/${name}`)) ? "same" : "DIFFERENT"}`);
}

await s3.putObject({ Bucket, Key: "plain.txt", Body: "put_object" });
console.log("put_object:", createHash("sha256").update(await get("plain.txt")).digest("hex"));
console.log("listed:", await listed());
await s3.deleteObject({ Bucket, Key: "plain.txt" });
console.log("left:", await listed());

try {
  await s3.deleteBucket({ Bucket });
  console.error("deleteBucket was not refused");
  process.exit(1);
} catch (refused) {
  console.log("denied:", refused.$metadata.httpStatusCode, refused.$response.headers["x-nexus-error"]);
}
