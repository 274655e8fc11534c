//! What a server can do wrong (rules D5, H13).

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::server::{Request, Server, answer, status};
use crate::serving::blocking;
use crate::world::World;

/// A fault that comes and goes.
#[track_caller]
fn comes_to_nothing(
    reason: &str,
    is_refusal: bool,
    fault: impl Fn(&Request, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
) {
    let world = World::new();
    let before = world.serving.files();
    world.server.does(fault);
    world.is_left_alone(reason, is_refusal);
    assert_eq!(world.serving.files(), before);
    world.recovers();
}

/// An answer that is always the same.
#[track_caller]
fn says_nothing_good(reason: &str, is_refusal: bool, answer: Vec<u8>) {
    comes_to_nothing(reason, is_refusal, move |_, out| out.write_all(&answer));
}

/// Documents that nobody may take for good ones.
fn other() -> String {
    blocking("evil.io").to_string()
}

#[test]
fn d5_a_status_that_is_an_error_is_no_absence() {
    for (line, reason) in [
        ("404 Not Found", "NothingThere"),
        ("410 Gone", "NothingThere"),
        ("401 Unauthorized", "AccessRefused"),
        ("403 Forbidden", "AccessRefused"),
        ("500 Internal Server Error", "ServerFailing"),
        ("503 Service Unavailable", "ServerFailing"),
        ("204 No Content", "AnswerUnexpected"),
    ] {
        says_nothing_good(reason, false, status(line, ""));
    }
}

#[test]
fn d5_an_empty_answer_is_no_empty_configuration() {
    says_nothing_good("AnswerEmpty", false, answer("", ""));
    says_nothing_good(
        "NoDocuments",
        true,
        answer("", "{\"kind\":\"List\",\"apiVersion\":\"v1\",\"items\":[]}"),
    );
}

#[test]
fn d5_an_answer_that_breaks_off_is_no_bundle() {
    let text = format!("---\n{}\n---\n{}", other(), other());
    let whole = answer("", &text);
    let cut = whole.len() - other().len() - 4;
    says_nothing_good("AnswerCutOff", false, whole[..cut].to_vec());
    // One that does not say where it ends could be cut off unseen.
    let endless = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}", other());
    says_nothing_good("AnswerEndless", false, endless.into_bytes());
    // Neither does one whose last coding is another than chunks, whatever its Content-Length says.
    for codings in
        ["identity", "chunked, identity", "chunked\r\nTransfer-Encoding: identity", "chunkedx"]
    {
        let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {codings}\r\n");
        let length = format!("Content-Length: {}\r\n", other().len() + 9);
        for length in ["", length.as_str()] {
            let endless = format!("{head}{length}\r\n{}", other());
            says_nothing_good("AnswerEndless", false, endless.into_bytes());
        }
    }
    let chunk = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n",
        other().len(),
        other()
    );
    says_nothing_good("AnswerCutOff", false, chunk.into_bytes());
}

#[test]
fn d5_documents_that_cannot_be_used_are_refused() {
    says_nothing_good("MalformedDocument", true, answer("", &other()[..40]));
    let entry = other().replace("evil.io", "http://evil.io");
    says_nothing_good("InvalidEntry", true, answer("", entry));
}

#[test]
fn d5_a_page_for_people_is_no_bundle() {
    let page = String::from_utf8(answer("", "<html>Log in</html>")).unwrap();
    says_nothing_good(
        "WrongContentType",
        false,
        page.replace("application/json", "text/html; charset=utf-8").into_bytes(),
    );
}

#[test]
fn d5_nothing_larger_than_the_limit_is_read() {
    // Announced, not announced, and packed.
    says_nothing_good("AnswerTooLarge", false, answer("", vec![b' '; 20 << 20]));
    comes_to_nothing("AnswerTooLarge", false, |_, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        loop {
            out.write_all(b"10000\r\n")?;
            out.write_all(&[b' '; 0x10000])?;
            out.write_all(b"\r\n")?;
        }
    });
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    (0..200).for_each(|_| encoder.write_all(&[b' '; 1 << 20]).unwrap());
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    says_nothing_good("AnswerTooLarge", false, answer("Content-Encoding: gzip\r\n", bomb));
}

#[test]
fn h13_a_server_that_hangs_or_drips_is_given_up() {
    comes_to_nothing("AnswerLate", false, |_, _| {
        thread::sleep(Duration::from_secs(20));
        Ok(())
    });
    // The head, a byte a time.
    comes_to_nothing("AnswerLate", false, |_, out| drip(out, &answer("", other())));
    // The body, a byte a time.
    comes_to_nothing("AnswerLate", false, |_, out| {
        let whole = answer("", other());
        let (head, body) = whole.split_at(whole.len() - other().len());
        out.write_all(head)?;
        drip(out, body)
    });
}

fn drip(out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    for byte in bytes {
        out.write_all(&[*byte])?;
        out.flush()?;
        thread::sleep(Duration::from_millis(300));
    }
    Ok(())
}

#[test]
fn d5_redirects_without_end_are_not_followed() {
    says_nothing_good("RedirectRefused", false, status("302 Found", "Location: /bundle\r\n"));
}

#[test]
fn d5_a_redirect_to_what_is_no_http_is_not_followed() {
    for there in ["ftp://localhost/bundle", "file:///etc/passwd"] {
        let location = format!("Location: {there}\r\n");
        says_nothing_good("RedirectRefused", false, status("302 Found", &location));
    }
}

#[test]
fn d5_a_redirect_is_followed() {
    let world = World::new();
    world.server.does(|request, out| match request.path.as_str() {
        "/there" => out.write_all(&answer("", blocking("c.io").to_string())),
        _ => out.write_all(&status("302 Found", "Location: /there\r\n")),
    });
    world.serving.blocks("c.io");
}

#[test]
fn h13_retry_after_is_obeyed_and_said() {
    let world = World::new();
    world.server.says(status("429 Too Many Requests", "Retry-After: 15\r\n"));
    world.serving.until_condition("SourceReady", "False", "TooManyRequests");
    let retry = world.source()["trouble"]["retry"].as_str().unwrap().to_owned();
    let left = retry.parse::<jiff::Timestamp>().unwrap().duration_since(jiff::Timestamp::now());
    // Without it another try would come after two seconds.
    assert!(left.as_secs() > 4, "{left:?}");
    world.server.forget();
    let start = Instant::now();
    world.serving.until("another request", || !world.server.requests().is_empty());
    // At the time that was said, which the hosts' spreading is a part of.
    let late = start.elapsed().as_secs_f64() - left.as_secs_f64();
    assert!((-0.5..1.0).contains(&late), "{late} s");
    world.is_left_alone("TooManyRequests", false);
}

#[test]
fn h13_a_server_that_is_gone_is_asked_less_and_less_often() {
    let world = World::new();
    let before = world.serving.files();
    world.server.does(|_, _| Ok(()));
    world.serving.until_condition("SourceReady", "False", "AnswerCutOff");
    world.server.forget();
    thread::sleep(Duration::from_secs(12));
    let asked = world.server.requests().len();
    assert!((1..=4).contains(&asked), "{asked} requests in 12 s");
    assert_eq!(world.serving.files(), before);
    world.recovers();
}

#[test]
fn d5_what_has_not_changed_is_not_sent_again() {
    let world = World::new();
    world.server.does(|request, out| match request.header("if-none-match") {
        Some("\"v1\"") => out.write_all(&status("304 Not Modified", "ETag: \"v1\"\r\n")),
        _ => out.write_all(&answer("ETag: \"v1\"\r\n", blocking("b.io").to_string())),
    });
    world.serving.blocks("b.io");
    let was_spared = || {
        let asked = |request: &Request| request.header("if-none-match") == Some("\"v1\"");
        world.server.requests().iter().filter(|request| asked(request)).count() > 1
    };
    world.serving.until("a request with an ETag", was_spared);
    assert_eq!(world.source()["revision"], "\"v1\"");
    world.serving.converges();
}

#[test]
fn d5_a_date_serves_where_there_is_no_etag() {
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    let world = World::new();
    world.server.does(|request, out| match request.header("if-modified-since") {
        Some(DATE) => out.write_all(&status("304 Not Modified", "")),
        _ => out.write_all(&answer(
            &format!("Last-Modified: {DATE}\r\n"),
            blocking("b.io").to_string(),
        )),
    });
    world.serving.blocks("b.io");
    let asked = || {
        world
            .server
            .requests()
            .iter()
            .any(|request| request.header("if-modified-since") == Some(DATE))
    };
    world.serving.until("a request with a date", asked);
    world.serving.converges();
}

#[test]
fn h13_a_server_that_offers_long_polls_is_asked_again_at_once() {
    let world = World::with(
        crate::server::Server::plain(),
        &["endpoint.poll_seconds=3600".into(), "endpoint.wait_seconds=30".into()],
    );
    // The first answer had no ETag, so there is nothing to wait for yet: the next poll is far away.
    world.server.does(|request, out| {
        if request.header("if-none-match").is_none() {
            return out.write_all(&answer(
                "ETag: \"1\"\r\nPreference-Applied: wait\r\n",
                blocking("b.io").to_string(),
            ));
        }
        assert_eq!(request.header("prefer"), Some("wait=30"));
        // Longer than a usual answer may take.
        thread::sleep(Duration::from_secs(8));
        out.write_all(&answer(
            "ETag: \"2\"\r\nPreference-Applied: wait\r\n",
            blocking("c.io").to_string(),
        ))
    });
    let mut world = world;
    let arguments = crate::world::set(&[
        format!("endpoint.url={}", world.server.url("/other")),
        "endpoint.allow_http=true".into(),
        "endpoint.poll_seconds=3600".into(),
        "endpoint.wait_seconds=30".into(),
    ]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    world.serving.restart_with(&arguments);
    world.serving.blocks("b.io");
    world.serving.blocks("c.io");
}

#[test]
fn d5_packed_answers_are_unpacked() {
    let world = World::new();
    let packed = zstd::stream::encode_all(blocking("b.io").to_string().as_bytes(), 3).unwrap();
    world.server.says(answer("Content-Encoding: zstd\r\n", packed));
    world.serving.blocks("b.io");
    assert!(world.server.requests()[0].header("accept-encoding").unwrap().contains("zstd"));
}

/// Whoever is on the host need not wait for the next turn.
#[test]
fn h13_apply_and_retry_have_the_endpoint_asked_at_once() {
    let world = World::with(Server::plain(), &["endpoint.poll_seconds=3600".into()]);
    for (command, registry) in [("apply", "b.io"), ("retry", "c.io")] {
        world.server.says(answer("", blocking(registry).to_string()));
        world.serving.ask(command).exits(0);
        world.serving.blocks(registry);
    }
}
