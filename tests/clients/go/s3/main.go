// What an agent does with S3, by the AWS SDK for Go.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/transport/http"
)

const bucket = "bucket-1"

var (
	background = context.Background()
	client     *s3.Client
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func put(key string, body []byte) {
	_, err := client.PutObject(background, &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(key), Body: bytes.NewReader(body),
	})
	check(err)
}

func get(key string) []byte {
	answer, err := client.GetObject(background, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	check(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	check(err)
	return body
}

func list() string {
	answer, err := client.ListObjectsV2(background, &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	check(err)
	var keys []string
	for _, object := range answer.Contents {
		keys = append(keys, aws.ToString(object.Key))
	}
	return strings.Join(keys, ", ")
}

func main() {
	settings, err := config.LoadDefaultConfig(background)
	check(err)
	client = s3.NewFromConfig(settings, func(options *s3.Options) {
		options.BaseEndpoint = aws.String(os.Getenv("S3"))
		options.UsePathStyle = true
	})
	_, err = client.CreateBucket(background, &s3.CreateBucketInput{
		Bucket:                    aws.String(bucket),
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "eu-west-1"},
	})
	check(err)

	files, err := filepath.Glob(filepath.Join(os.Getenv("OBJECTS"), "*"))
	check(err)
	for _, file := range files {
		sent, err := os.ReadFile(file)
		check(err)
		name := filepath.Base(file)
		put("a b/"+name, sent)
		fmt.Printf("%s: %s\n", name, map[bool]string{true: "same", false: "DIFFERENT"}[bytes.Equal(sent, get("a b/"+name))])
	}

	put("plain.txt", []byte("put_object"))
	fmt.Printf("put_object: %x\n", sha256.Sum256(get("plain.txt")))
	fmt.Println("listed:", list())
	_, err = client.DeleteObject(background, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("plain.txt")})
	check(err)
	fmt.Println("left:", list())

	_, err = client.DeleteBucket(background, &s3.DeleteBucketInput{Bucket: aws.String(bucket)})
	var refused *http.ResponseError
	if !errors.As(err, &refused) {
		fmt.Fprintln(os.Stderr, "delete_bucket was not refused:", err)
		os.Exit(1)
	}
	fmt.Println("denied:", refused.HTTPStatusCode(), refused.HTTPResponse().Header.Get("X-Nexus-Error"))
}
