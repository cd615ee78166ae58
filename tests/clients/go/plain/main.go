// The errand of a plain HTTP client, by Go's net/http with its default transport.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func ask(name, method, url string, body []byte, authorization string) {
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	check(err)
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	answer, err := http.DefaultClient.Do(request)
	check(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	check(err)
	fmt.Printf("%s: %d %s\n", name, answer.StatusCode, answer.Header.Get("X-Nexus-Error"))
	fmt.Println(answer.Proto, answer.Header, string(text))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	api := os.Getenv("API")
	ask("bare", "GET", api+"/items?x=1", nil, "")
	ask("placeholder", "GET", api+"/items?x=1", nil, "Bearer placeholder")
	ask("post", "POST", api+"/items", make([]byte, 1<<20), "")
	ask("denied", "GET", api+"/admin", nil, "")
	_, err := http.Get("https://unnamed.test/")
	switch {
	case err == nil:
		fmt.Println("unnamed: 200")
	case strings.Contains(err.Error(), "Forbidden"):
		// net/http says the reason of the proxy's answer to CONNECT, not its number.
		fmt.Println("unnamed: 403")
	default:
		fmt.Println("unnamed:", err)
	}
}
