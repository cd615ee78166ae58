# The errand of a plain HTTP client, by Ruby's Net::HTTP.

require "net/http"

API = ENV.fetch("API")

def show(name, request)
  uri = request.uri
  answer = Net::HTTP.start(uri.host, uri.port, use_ssl: true) { |http| http.request(request) }
  puts "#{name}: #{answer.code} #{answer['x-nexus-error']}"
  puts answer.to_hash.inspect, answer.body
end

def get(path, headers = {})
  Net::HTTP::Get.new(URI("#{API}#{path}"), headers)
end

show("bare", get("/items?x=1"))
show("placeholder", get("/items?x=1", "Authorization" => "Bearer placeholder"))
upload = Net::HTTP::Post.new(URI("#{API}/items"))
upload.body = "\0" * (1 << 20)
show("post", upload)
show("denied", get("/admin"))
begin
  show("unnamed", Net::HTTP::Get.new(URI("https://unnamed.test/")))
rescue StandardError => refused
  puts "unnamed: #{refused.message.include?('403') ? '403' : refused.inspect}"
end
