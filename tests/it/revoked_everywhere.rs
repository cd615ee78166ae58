//! Five `run`s over one store: what is revoked or frozen on the command line is refused in all of
//! them, and what was open is closed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::left_out;
use crate::support::process::Home;

const RUNS: usize = 5;

/// As long as a busy machine may take. What it takes is printed; the bar of a second is the
/// benchmark's.
const PATIENCE: Duration = Duration::from_secs(30);

/// Holds one answer open, and asks again and again until it is refused. Each line begins with a time.
const ASKING: &str = r#"
    PORT=${HTTP_PROXY##*:}
    ask() {
        exec 3<>"/dev/tcp/127.0.0.1/$PORT" || exit 1
        printf 'GET http://127.0.0.1:%s%s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n\r\n' "$ORIGIN" "$1" "$ORIGIN" >&3
        read -r line <&3
    }
    (ask /hold; echo "$EPOCHREALTIME held $line"; cat <&3 >/dev/null; echo "$EPOCHREALTIME cut") &
    last=
    while :; do
        ask /; exec 3>&-
        set -- $line
        [ "$2" = "$last" ] || echo "$EPOCHREALTIME asked $line"
        last=$2
        [ "$2" = 410 ] && break
        sleep 0.02
    done
    wait"#;

/// An origin whose answer to `/hold` does not end.
async fn origin() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                if head.starts_with(b"GET /hold") {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n").await?;
                    stream.read_to_end(&mut head).await.map(drop)
                } else {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await
                }
            });
        }
    });
    port
}

/// What one run says, as it says it.
struct Run {
    child: Child,
    asked: Receiver<String>,
    held: Receiver<String>,
}

impl Run {
    fn start(home: &Home, origin: u16) -> Self {
        let mut command = home.command(["run", "--config", "c.yaml", "--", "bash", "-c", ASKING]);
        let mut child = command.env("ORIGIN", origin.to_string()).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let ((asks, asked), (holds, held)) = (channel(), channel());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = if line.contains(" asked ") { asks.send(line) } else { holds.send(line) };
            }
        });
        Self { child, asked, held }
    }

    /// Waits for a line that says this; answers when it was said, in seconds since 1970.
    fn says(&self, what: &str) -> f64 {
        let lines = if what.starts_with("asked") { &self.asked } else { &self.held };
        let mut before = String::new();
        loop {
            let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {what:?} after:\n{before}"));
            if line.contains(what) {
                return line.split(' ').next().unwrap().parse().unwrap();
            }
            before.push_str(&format!("{line}\n"));
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn home(origin: u16) -> Home {
    let home = Home::new();
    home.connect("one", "127.0.0.1", "canary-one");
    home.write("c.yaml", "version: 1\npolicy: [p.yaml]\n");
    let rule = format!("host: 127.0.0.1, port: {origin}, plaintext: true, networks: [127.0.0.0/8]");
    home.write("p.yaml", &format!("version: 1\nrules:\n  - {{ {rule}, connection: one }}\n"));
    home
}

fn now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_by_a_command_is_refused_in_every_run_and_closed() {
    if left_out::lacks(&["bash"]) {
        return;
    }
    let port = origin().await;
    let home = home(port);
    let runs: Vec<Run> = (0..RUNS).map(|_| Run::start(&home, port)).collect();
    for run in &runs {
        run.says("held HTTP/1.1 200");
        run.says("asked HTTP/1.1 200");
    }
    let frozen = home.run(["freeze"]);
    assert_eq!((frozen.code, frozen.out.as_str()), (Some(0), "frozen: nothing is lent until nexus-sidecar unfreeze\n"));
    for run in &runs {
        run.says("asked HTTP/1.1 503");
    }
    assert!(home.run(["connection", "list"]).err.contains("frozen since"));
    assert_eq!(home.run(["unfreeze"]).out, "unfrozen: connections are lent again\n");
    for run in &runs {
        run.says("asked HTTP/1.1 200");
    }
    let revoked = home.run(["connection", "revoke", "one"]);
    let exit = now();
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    assert_eq!(revoked.out, "connection one: revoked; local only, valid until its provider ends it\n");
    let after = |run: &Run, what| run.says(what) - exit;
    let refused: Vec<f64> = runs.iter().map(|run| after(run, "asked HTTP/1.1 410")).collect();
    let cut: Vec<f64> = runs.iter().map(|run| after(run, "cut")).collect();
    println!("refused {refused:.3?} s and cut {cut:.3?} s after the command's exit");
}

#[test]
fn each_command_says_what_it_ended() {
    let home = Home::new();
    for command in [&["revoke", "--all", "--yes"][..], &["freeze"], &["connection", "revoke", "one"]] {
        let ended = home.run(command.iter().copied());
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains("there is no store yet") && !home.path(".local").exists(), "{ended:?}");
    }
    for name in ["one", "two", "three"] {
        home.connect(name, "api.example.com", "canary-1");
    }
    home.run_with(["connection", "add", "github"], "canary-2");
    for (command, code, words) in [
        (&["revoke", "--all"][..], 2, "say --yes to revoke for good every connection, 4 of them"),
        (&["revoke"], 2, "--agent"),
        (&["revoke", "--all", "--agent", "a"], 2, "cannot be used with"),
        (&["revoke", "--provider", "gitlab", "--yes"], 1, "there is no connection of a provider gitlab"),
        (&["connection", "revoke", "four"], 1, "there is no connection four"),
    ] {
        let ended = home.run(command.iter().copied());
        assert!(ended.code == Some(code) && ended.err.contains(words), "{ended:?}");
    }
    let json = |args: &[&str]| {
        let ended = home.run(args.iter().copied());
        serde_json::from_str::<Value>(&ended.out).unwrap_or_else(|_| panic!("{ended:?}"))
    };
    let one = json(&["connection", "revoke", "one", "--json"]);
    assert_eq!((&one["revocation"], &one["before"]), (&"local".into(), &false.into()));
    assert_eq!(json(&["connection", "revoke", "one", "--json", "--no-wait"])["before"], true);
    let agent = home.run(["revoke", "--agent", "claude", "--yes"]);
    assert!(agent.out.starts_with("agent claude: revoked, by its name alone"), "{agent:?}");
    let github = home.run(["revoke", "--provider", "github", "--yes"]);
    assert!(github.out.contains("github  local only") && github.err.contains("1 connection was revoked"), "{github:?}");
    let all = json(&["revoke", "--all", "--yes", "--json"]);
    assert_eq!((all["revoked"].as_array().unwrap().len(), &all["before"]), (2, &2.into()));
    let listed = json(&["connection", "list", "--json"]);
    assert!(
        listed.as_array().unwrap().iter().all(|one| one["state"] == "revoked" && one["fields"] == Value::Array(vec![]))
    );
    assert!(home.run(["connection", "show", "two"]).out.contains("revoked   local only"));
    assert_eq!(json(&["freeze", "--json"])["changed"], true);
    assert_eq!(json(&["freeze", "--json"])["changed"], false);
    assert_eq!(json(&["unfreeze", "--json"]), serde_json::json!({"frozen": false, "since": null, "changed": true}));
    let set = home.run_with(["connection", "set", "one"], "canary-3\n");
    assert!(set.code == Some(1) && set.err.contains("was revoked"), "{set:?}");
}
