// The errand of a plain HTTP client, by Java's own HttpClient. It reads no proxy variable and sends
// the proxy no password: what a JVM is given are system properties and a trust store.

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;

public class Errand {
    private static final HttpClient CLIENT = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(60)).build();

    private static HttpRequest.Builder to(String url) {
        return HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(60));
    }

    private static void show(String name, HttpRequest.Builder request) throws Exception {
        HttpResponse<String> answer = CLIENT.send(request.build(), BodyHandlers.ofString());
        String refusal = answer.headers().firstValue("x-nexus-error").orElse("");
        System.out.println(name + ": " + answer.statusCode() + " " + refusal);
        System.out.println(answer.headers().map() + " " + answer.body());
    }

    public static void main(String[] arguments) throws Exception {
        String api = System.getenv("API");
        show("bare", to(api + "/items?x=1"));
        show("placeholder", to(api + "/items?x=1").header("Authorization", "Bearer placeholder"));
        show("post", to(api + "/items").POST(BodyPublishers.ofByteArray(new byte[1 << 20])));
        show("denied", to(api + "/admin"));
        try {
            CLIENT.send(to("https://unnamed.test/").build(), BodyHandlers.discarding());
            System.out.println("unnamed: 200");
        } catch (java.io.IOException refused) {
            String text = String.valueOf(refused.getMessage());
            System.out.println("unnamed: " + (text.contains("403") ? "403" : text));
        }
    }
}
