# The errand of a plain HTTP client, by Perl's HTTP::Tiny.
use strict;
use warnings;
use HTTP::Tiny;

my $api = $ENV{API};
my $client = HTTP::Tiny->new(timeout => 60, verify_SSL => 1);

sub show {
    my ($name, $method, $path, %options) = @_;
    my $answer = $client->request($method, "$api$path", \%options);
    print "$name: $answer->{status} " . ($answer->{headers}{"x-nexus-error"} // "") . "\n";
    print map({ "$_: $answer->{headers}{$_}\n" } keys %{$answer->{headers}}), $answer->{content};
}

show("bare", "GET", "/items?x=1");
show("placeholder", "GET", "/items?x=1", headers => { Authorization => "Bearer placeholder" });
show("post", "POST", "/items", content => "\0" x (1 << 20));
show("denied", "GET", "/admin");
# The proxy's answer to CONNECT is handed on as the answer.
print "unnamed: ", $client->get("https://unnamed.test/")->{status}, "\n";
