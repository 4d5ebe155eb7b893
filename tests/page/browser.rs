//! The pages in Chromium, through a `WebDriver`. Where there is none this says so and tests nothing.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::{Served, served};
use crate::world::*;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser; it ends when this is dropped.
struct Browser {
    driver: Child,
    client: reqwest::Client,
    driver_url: String,
    session: String,
    /// One at a time: each is larger than everything else here.
    _turn: tokio::sync::MutexGuard<'static, ()>,
    _home: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The end of the session ends the browser; that of the driver alone would leave it behind.
        let _ = self.end_session();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn found(names: &[&str]) -> Option<PathBuf> {
    let path = pipecron::os::variable("PATH")?;
    let mut places = std::env::split_paths(&path)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    places.find(|place| place.is_file())
}

/// Starts one; none if this machine has none, which is said on the last lines of the run.
async fn browser(arguments: &[&str]) -> Option<Browser> {
    static SAID: Once = Once::new();
    let (Some(driver), Some(chromium)) = (
        found(&["chromedriver"]),
        found(&["chromium", "chromium-browser", "google-chrome"]),
    ) else {
        // Past the capture of what tests print: whoever reads the end of the run has to see it.
        SAID.call_once(|| {
            let line = b"NOT TESTED: the status page in a browser, for there is no chromedriver with Chromium here (Debian: apt-get install \
                         chromium chromium-driver)\n";
            std::io::stderr().write_all(line).unwrap();
        });
        return None;
    };
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let turn = TURN.lock().await;
    let mut driver = Command::new(driver)
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let port = loop {
        let line = lines
            .next()
            .expect("the driver says where it listens")
            .unwrap();
        if let Some((_, rest)) = line.split_once("successfully on port ") {
            break rest.trim_end_matches('.').parse::<u16>().unwrap();
        }
    };
    // What else it says must not fill the pipe.
    std::thread::spawn(move || for _ in lines.map_while(Result::ok) {});
    let home = tempfile::tempdir().unwrap();
    let mut all = vec![
        "--headless=new".to_owned(),
        // Inside a container there is no other way; only our own page is looked at.
        "--no-sandbox".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--no-first-run".to_owned(),
        format!("--user-data-dir={}", home.path().display()),
    ];
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    // A client wants to know how to encrypt, even where it does not.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .unwrap();
    let wanted = json!({ "capabilities": { "alwaysMatch": {
        "goog:chromeOptions": { "binary": chromium, "args": all },
        "goog:loggingPrefs": { "browser": "ALL" },
    } } });
    let mut browser = Browser {
        driver,
        client,
        driver_url: format!("http://127.0.0.1:{port}"),
        session: format!("http://127.0.0.1:{port}/session"),
        _turn: turn,
        _home: home,
    };
    let session = browser.post("", wanted).await;
    browser.session.push('/');
    browser
        .session
        .push_str(session["sessionId"].as_str().unwrap());
    Some(browser)
}

impl Browser {
    /// By hand, for there is no waiting for a future where something is dropped.
    fn end_session(&self) -> std::io::Result<()> {
        let path = self
            .session
            .strip_prefix(&self.driver_url)
            .unwrap_or_default();
        let at = self.driver_url.trim_start_matches("http://");
        let mut stream = std::net::TcpStream::connect(at)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "DELETE {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n"
        )?;
        // It answers when the browser has ended, and may not close.
        let mut first = String::new();
        BufReader::new(stream).read_line(&mut first).map(drop)
    }

    async fn post(&self, command: &str, body: Value) -> Value {
        let url = format!("{}{command}", self.session);
        let request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .body(body.to_string());
        let answer = request.send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(answer["value"]["error"].is_null(), "{command}: {answer}");
        answer["value"].clone()
    }

    /// A text that the driver gives.
    async fn get(&self, command: &str) -> String {
        let request = self.client.get(format!("{}{command}", self.session));
        let answer = request.send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["value"].as_str().unwrap().to_owned()
    }

    async fn open(&self, served: &Served, path: &str) {
        let url = format!("http://{}{path}", served.at);
        self.post("/url", json!({ "url": url })).await;
    }

    /// What a script gives.
    async fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": [] }))
            .await
    }

    /// Waits until a script gives true.
    async fn until(&self, what: &str, script: &str) {
        let start = Instant::now();
        while self.run(script).await != json!(true) {
            assert!(start.elapsed() < PATIENCE, "never: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Presses keys, wherever the focus is.
    async fn press(&self, keys: &[&str]) {
        let actions: Vec<Value> = keys
            .iter()
            .flat_map(|key| {
                [
                    json!({ "type": "keyDown", "value": key }),
                    json!({ "type": "keyUp", "value": key }),
                ]
            })
            .collect();
        let body = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.post("/actions", body).await;
    }

    async fn size(&self, width: u32, height: u32) {
        self.post("/window/rect", json!({ "width": width, "height": height }))
            .await;
    }

    /// What the browser complained of.
    async fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", json!({ "type": "browser" })).await;
        let lines = log.as_array().unwrap().iter();
        lines
            .map(|line| line["message"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Keeps a picture where somebody asked for them (`PICTURES=directory`).
    async fn picture(&self, name: &str) {
        let Some(folder) = pipecron::os::variable("PICTURES") else {
            return;
        };
        use base64::Engine;
        let picture = base64::prelude::BASE64_STANDARD
            .decode(self.get("/screenshot").await)
            .unwrap();
        std::fs::write(PathBuf::from(folder).join(format!("{name}.png")), picture).unwrap();
    }
}

/// Some entries, one of which failed.
async fn some() -> Served {
    let lines: Vec<(String, String)> = (0..12)
        .map(|n| {
            let zone = ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "UTC"][n % 4];
            (
                format!("nightly-{n}"),
                format!(
                    "cron: '{n} 2 * * *'\ntimezone: {zone}\nlabels: [team-{}]",
                    n % 3
                ),
            )
        })
        .collect();
    let lines: Vec<(&str, &str)> = lines
        .iter()
        .map(|(name, line)| (name.as_str(), line.as_str()))
        .collect();
    let served = served(&yaml(", max_running: 2", &lines), None).await;
    crate::server::fill(&served).await;
    served
}

#[tokio::test]
async fn a_browser_shows_the_page_without_a_complaint() {
    let Some(browser) = browser(&[]).await else {
        return;
    };
    let served = some().await;
    browser.open(&served, "/").await;
    browser.until("the times of the viewer are shown", "return [...document.querySelectorAll('.yours')].every((place) => place.textContent.endsWith(' here'))").await;
    let heading = browser
        .run("return document.querySelector('h1').textContent")
        .await;
    assert!(
        heading
            .as_str()
            .unwrap()
            .contains("nightlies of the last 24 hours"),
        "{heading}"
    );
    assert_eq!(
        browser
            .run("return document.querySelectorAll('#rows tbody tr').length")
            .await,
        json!(12)
    );
    // The style sheet is there: a heading has the bar that says how things are.
    let bar = browser
        .run("return getComputedStyle(document.querySelector('h1')).borderLeftStyle")
        .await;
    assert_eq!(bar, json!("solid"));
    for (width, height, name) in [(1280, 900, "wide"), (390, 844, "telephone")] {
        browser.size(width, height).await;
        let is_wide = browser.run("return document.documentElement.scrollWidth > document.documentElement.clientWidth").await;
        assert_eq!(
            is_wide,
            json!(false),
            "nothing has to be scrolled sideways on a {name}"
        );
        browser.picture(name).await;
    }
    browser.size(1280, 900).await;
    for path in ["/entry/nightly-1", "/entry/nihgtly-1", "/nothing"] {
        browser.open(&served, path).await;
        browser.picture(&path.replace('/', "_")).await;
    }
    // A tick's page, by the first link there is to one.
    browser.open(&served, "/").await;
    browser
        .run("document.querySelector('#rows td a').click()")
        .await;
    browser.until("the page of a tick", "return location.pathname.startsWith('/tick/') && document.querySelector('.story') !== null").await;
    browser.picture("tick").await;
    // A page that is not there is all that it may complain of.
    let complaints = browser.complaints().await;
    let unexpected: Vec<_> = complaints
        .iter()
        .filter(|line| !line.contains("status of 404"))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

#[tokio::test]
async fn what_is_typed_filters_at_once_and_survives_an_update() {
    let Some(browser) = browser(&[]).await else {
        return;
    };
    let served = some().await;
    browser.open(&served, "/").await;
    // By the keyboard alone: the first stop leads past the head, the search is on the way.
    browser.press(&["\u{e004}"]).await;
    assert_eq!(
        browser.run("return document.activeElement.className").await,
        json!("jump")
    );
    browser.run("document.getElementById('q').focus()").await;
    browser.press(&["b", "e", "r", "l", "i", "n"]).await;
    browser
        .until(
            "three of twelve",
            "return document.getElementById('found').textContent === '3 of 12'",
        )
        .await;
    let shown = "return [...document.querySelectorAll('#rows tbody tr')].filter((row) => !row.hidden).length";
    assert_eq!(browser.run(shown).await, json!(3));
    // An update as every fifteen seconds: what it does begins at once when the page is looked at again.
    crate::server::fill_one_more(&served).await;
    browser
        .run("document.querySelector('h1').textContent = 'old'")
        .await;
    browser
        .until(
            "brought up to date",
            "document.dispatchEvent(new Event('visibilitychange')); return document.querySelector('h1').textContent.includes('nightlies')",
        )
        .await;
    assert_eq!(browser.run(shown).await, json!(3), "the filter holds");
    let typed = browser
        .run("return [document.getElementById('q').value, document.activeElement.id]")
        .await;
    assert_eq!(typed, json!(["berlin", "q"]));
    browser
        .press(&[
            "\u{e003}", "\u{e003}", "\u{e003}", "\u{e003}", "\u{e003}", "\u{e003}",
        ])
        .await;
    assert_eq!(browser.run(shown).await, json!(12));
    // When nobody answers any more it says so, and keeps what it had.
    served
        .answers
        .store(false, std::sync::atomic::Ordering::SeqCst);
    browser
        .until(
            "stale",
            "document.dispatchEvent(new Event('visibilitychange')); return document.getElementById('live').classList.contains('stale')",
        )
        .await;
    assert_eq!(browser.run(shown).await, json!(12));
    browser.picture("stale").await;
}

#[tokio::test]
async fn it_works_without_scripts_and_in_the_dark() {
    let Some(browser) =
        browser(&["--blink-settings=scriptEnabled=false", "--force-dark-mode"]).await
    else {
        return;
    };
    let served = some().await;
    browser.open(&served, "/?q=team-1+berlin").await;
    browser.picture("dark").await;
    let source = browser.get("/source").await;
    assert!(
        source.contains("1 of 12"),
        "the search is the server's: {source}"
    );
    assert!(
        source.contains("http-equiv=\"refresh\""),
        "it loads itself anew"
    );
}

/// The contrast of two colours (`rgb(1, 2, 3)`), by the definition of WCAG 2.
fn contrast(one: &str, other: &str) -> f64 {
    let light = |colour: &str| {
        let digits = colour.trim_start_matches("rgb(").trim_end_matches(')');
        let part = |part: &str| {
            let value = part.trim().parse::<f64>().unwrap() / 255.0;
            if value <= 0.03928 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        let parts: Vec<f64> = digits.split(',').map(part).collect();
        0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
    };
    let (a, b) = (light(one), light(other));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[tokio::test]
async fn every_text_can_be_read_and_every_drawing_has_words() {
    for theme in ["light", "dark"] {
        let Some(browser) = browser(&[]).await else {
            return;
        };
        let served = some().await;
        let features = json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "features": [{ "name": "prefers-color-scheme", "value": theme }] } });
        browser.post("/goog/cdp/execute", features).await;
        browser.open(&served, "/").await;
        let colours = browser
            .run(
                "const ground = getComputedStyle(document.body).backgroundColor; \
                 return [...document.querySelectorAll('main *, header *, footer')] \
                 .filter((part) => [...part.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim())) \
                 .filter((part) => !part.closest('svg')) \
                 .map((part) => [part.className || part.tagName, getComputedStyle(part).color, ground])",
            )
            .await;
        for colour in colours.as_array().unwrap() {
            let (text, ground) = (colour[1].as_str().unwrap(), colour[2].as_str().unwrap());
            let ratio = contrast(text, ground);
            assert!(
                ratio >= 4.5,
                "{theme}: {} has {ratio:.1} ({text} on {ground})",
                colour[0]
            );
        }
        let mute = browser
            .run("return [...document.querySelectorAll('svg')].filter((drawing) => !drawing.getAttribute('aria-label')).length")
            .await;
        assert_eq!(mute, json!(0));
        let nameless = browser
            .run("return [...document.querySelectorAll('a, button, input')].filter((part) => !part.textContent.trim() && !(part.labels && part.labels.length)).length")
            .await;
        assert_eq!(nameless, json!(0));
        let levels = browser
            .run("return [...document.querySelectorAll('h1, h2, h3')].map((part) => part.tagName)")
            .await;
        assert_eq!(
            levels
                .as_array()
                .unwrap()
                .iter()
                .filter(|level| *level == "H1")
                .count(),
            1
        );
        browser.picture(theme).await;
    }
}
