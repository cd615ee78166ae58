// The errand of a plain HTTP client, by Java's own two: HttpClient and HttpURLConnection. They read
// no proxy variable: what a JVM is given are system properties and a trust store.

import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.List;
import java.util.Map;

public class Plain {
    private record Answer(int status, Map<String, List<String>> headers, String text) {}

    private interface Client {
        Answer ask(String method, String url, String authorization, byte[] body) throws Exception;
    }

    private static final HttpClient CLIENT = HttpClient.newHttpClient();

    private static Answer byHttpClient(String method, String url, String authorization, byte[] body) throws Exception {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url))
            .method(method, body == null ? BodyPublishers.noBody() : BodyPublishers.ofByteArray(body));
        if (authorization != null) {
            request.header("Authorization", authorization);
        }
        HttpResponse<String> answer = CLIENT.send(request.build(), BodyHandlers.ofString());
        return new Answer(answer.statusCode(), answer.headers().map(), answer.body());
    }

    private static Answer byUrlConnection(String method, String url, String authorization, byte[] body) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) URI.create(url).toURL().openConnection();
        connection.setRequestMethod(method);
        if (authorization != null) {
            connection.setRequestProperty("Authorization", authorization);
        }
        if (body != null) {
            connection.setDoOutput(true);
            connection.getOutputStream().write(body);
        }
        int status = connection.getResponseCode();
        try (InputStream text = status < 400 ? connection.getInputStream() : connection.getErrorStream()) {
            return new Answer(status, connection.getHeaderFields(), new String(text.readAllBytes()));
        }
    }

    private static void show(String name, Answer answer) {
        String refusal = answer.headers.entrySet().stream()
            .filter(header -> "x-nexus-error".equalsIgnoreCase(header.getKey()))
            .map(header -> header.getValue().get(0)).findFirst().orElse("");
        System.out.println(name + ": " + answer.status + " " + refusal);
        System.out.println(answer.headers + " " + answer.text);
    }

    public static void main(String[] arguments) throws Exception {
        String api = System.getenv("API");
        Client client = arguments[0].equals("HttpClient") ? Plain::byHttpClient : Plain::byUrlConnection;
        show("bare", client.ask("GET", api + "/items?x=1", null, null));
        show("placeholder", client.ask("GET", api + "/items?x=1", "Bearer placeholder", null));
        show("post", client.ask("POST", api + "/items", null, new byte[1 << 20]));
        show("denied", client.ask("GET", api + "/admin", null, null));
        try {
            show("unnamed", client.ask("GET", "https://unnamed.test/", null, null));
        } catch (IOException refused) {
            String text = String.valueOf(refused.getMessage());
            System.out.println("unnamed: " + (text.contains("403") ? "403" : text));
        }
    }
}
