"""Traffic from a real Prometheus on loopback, filled with four days of counters whose rates are known."""

import json
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from cases import cases
from needs import is_missing

from autoscaler_env.cli.main import main
from autoscaler_env.traffic import prometheus
from autoscaler_env.traffic.columns import Reading
from autoscaler_env.traffic.prometheus import Query
from autoscaler_env.traffic.reading import read_traffic
from autoscaler_env.traffic.trace import cut_days

DAY = 86_400
RATES = {"web": 2.0, "api": 1.0}
"""Requests per second of each service in the hour after midnight UTC; in hour h they are h + 1 times as many."""


OTHER = "process_cpu_seconds_total"
"""A counter that counts no requests."""


def samples(service, start, end):
    """Yield the samples of a counter, one a minute; it restarts at noon of the second day."""
    count = 0.0
    for moment in range(start, end, 60):
        if moment == start + DAY + DAY // 2:
            count = 0.0
        yield f'http_requests_total{{service="{service}"}} {count} {moment}'
        count += 60 * RATES[service] * (moment % DAY // 3600 + 1)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return the address of a Prometheus that holds the counters up to now."""
    for program in ("prometheus", "promtool"):
        if shutil.which(program) is None:
            is_missing(f"{program} is not installed")
    folder = tmp_path_factory.mktemp("prometheus")
    end = int(time.time()) // 60 * 60
    start = end // DAY * DAY - 4 * DAY
    lines = [line for service in RATES for line in samples(service, start, end)]
    cpu = [f"{OTHER} {moment - start} {moment}" for moment in range(start, end, 60)]
    counter = "# TYPE {} counter"
    lines = [counter.format("http_requests"), *lines, counter.format(OTHER.removesuffix("_total")), *cpu, "# EOF"]
    text = "\n".join(lines) + "\n"
    (folder / "samples.txt").write_text(text)
    fill = ["promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "samples.txt", folder / "data"]
    subprocess.run(fill, check=True, capture_output=True)
    (folder / "prometheus.yml").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        log = []
        for line in process.stderr:
            log.append(line)
            if "Server is ready" in line:
                break
        else:
            pytest.fail(f"Prometheus ended: {''.join(log)}")
        reader = threading.Thread(target=process.stderr.read, daemon=True)  # else a full pipe would stop it
        reader.start()
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        reader.join()


def hours_of(traffic):
    """Return the mean requests of each hour of the day, shape (24,)."""
    days = cut_days(traffic).requests
    return days.reshape(len(days), 24, -1).sum(axis=2).mean(axis=0)


BOTH = 3 * 3600 * np.arange(1, 25)


@cases("query", ["sum(rate(http_requests_total[5m]))", "sum by (job) (increase(http_requests_total[10m]))"])
def test_a_rate_or_an_increase_becomes_counts_at_the_time_when_they_came(server, query):
    traffic = read_traffic(Query(server, query, days=3))
    assert traffic.interval == (300 if "rate" in query else 600)
    np.testing.assert_allclose(hours_of(traffic), BOTH, rtol=0.02)


def test_a_counter_is_differenced_and_its_restart_known(server):
    query = 'http_requests_total{service="web"}'
    traffic = read_traffic(Query(server, query, days=3))
    assert traffic.interval == 60 and "unit counter" in traffic.understood[0]
    assert "it restarted 1 time" in " ".join(traffic.notes)
    np.testing.assert_allclose(hours_of(traffic), BOTH * 2 / 3, rtol=0.02)


def test_more_points_than_prometheus_answers_at_once_are_asked_for_in_pieces(server):
    query = Query(server, 'http_requests_total{service="web"} + 0', days=3, row_seconds=20)
    assert 3 * DAY / 20 > 11_000
    moments = [moment for moment, _ in json.loads(query.fetch().text)["data"]["result"][0]["values"]]
    assert np.diff(moments).max() == np.diff(moments).min() == 20 and len(moments) > 3 * DAY / 20


def test_several_series_are_asked_about_like_those_of_a_file(server):
    query = Query(server, "http_requests_total", days=3)
    with pytest.raises(ValueError, match="service is api, web; choose with --where service=web, or add them up with"):
        read_traffic(query)
    np.testing.assert_allclose(hours_of(read_traffic(query, how=Reading(sum=True))), BOTH, rtol=0.02)


def test_the_command_takes_the_days_before_now(server, tmp_path, capsys):
    (tmp_path / "service.toml").write_text("requests_per_second_per_instance = 2\nmax_instances = 60\n")
    query = "sum(rate(http_requests_total[5m]))"
    command = ["advise", "--prometheus", server, "--query", query, "--days", "3", "--row-seconds", "3600"]
    files = ["--service", str(tmp_path / "service.toml"), "--output", str(tmp_path / "out")]
    assert main([*command, *files, "--no-learners", "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["traffic"]["days"] == 3 and plain["service"]["step_seconds"] == 3600
    assert plain["traffic"]["notes"][0].startswith(f"Read Prometheus at {server.removeprefix('http://')} as JSON of")


def refusal(query, how=Reading()):  # noqa: B008
    with pytest.raises(ValueError) as error:
        read_traffic(query, how=how)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_the_server_refuses_or_does_not_have_is_one_line(server):
    place = f"Prometheus at {server.removeprefix('http://')}: "
    assert refusal(Query(server, "sum(")).startswith(f"{place}it answers 400: ")
    assert refusal(Query(f"{server}/nowhere", "up")).startswith(f"{place}it answers 404: Not Found")
    assert refusal(Query(server, "nothing_total", days=3)) == (
        f"{place}the query gives no points in the last 3 days: nothing_total"
    )
    for query in (OTHER, f"sum(rate({OTHER}[5m]))"):
        assert f"{OTHER} counts no requests (cpu)" in refusal(Query(server, query, days=3))


def test_a_server_that_is_not_there_or_does_not_answer_is_one_line(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr(prometheus, "TIMEOUT", 0.1)
        assert refusal(Query(f"http://127.0.0.1:{port}", "up")).endswith("no answer within 0.1 s")
    assert refusal(Query(f"http://127.0.0.1:{port}", "up")) == (
        f"Prometheus at 127.0.0.1:{port}: cannot be reached: Connection refused"
    )
    assert refusal(Query("http://no such host.invalid", "up")).startswith("Prometheus at no such host.invalid: cannot")


class Page(BaseHTTPRequestHandler):
    """A server that is no Prometheus."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>Hello</html>")

    def log_message(self, *_):
        pass


def test_an_address_that_speaks_http_is_named():
    with HTTPServer(("127.0.0.1", 0), Page) as page:
        threading.Thread(target=page.handle_request, daemon=True).start()
        message = refusal(Query(f"https://127.0.0.1:{page.server_port}", "up"))
    assert message.endswith(": this address speaks http, not https")


def test_a_page_that_is_no_prometheus_is_one_line():
    with HTTPServer(("127.0.0.1", 0), Page) as page:
        threading.Thread(target=page.handle_request, daemon=True).start()
        message = refusal(Query(f"http://127.0.0.1:{page.server_port}", "up"))
    assert message.endswith("it is no answer of query_range; is this the address of a Prometheus?")


class Guarded(Page):
    """A server that answers only to one token, and sends others, with it, to another address."""

    elsewhere = ""
    seen: list[str | None] = []  # noqa: RUF012

    def do_GET(self):
        self.seen.append(self.headers["Authorization"])
        self.send_response(302 if self.elsewhere else 200 if self.seen[-1] == "Bearer 42" else 401)
        if self.elsewhere:
            self.send_header("Location", self.elsewhere)
        self.end_headers()


def test_a_token_comes_from_the_environment_and_is_sent_to_no_other_server(monkeypatch):
    with HTTPServer(("127.0.0.1", 0), Guarded) as page:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        query = Query(f"http://127.0.0.1:{page.server_port}", "up")
        assert "it answers 401: Unauthorized; PROMETHEUS_AUTHORIZATION in the env" in refusal(query)
        monkeypatch.setenv("PROMETHEUS_AUTHORIZATION", "Bearer 42\n")
        assert "it is no answer of query_range" in refusal(query)
        monkeypatch.setattr(Guarded, "elsewhere", f"http://localhost:{page.server_port}/other")
        monkeypatch.setattr(Guarded, "seen", [])
        refusal(query)
        assert Guarded.seen[:2] == ["Bearer 42", None]
        for secret in ("se\ncret x", "s\u20accret x", "secret"):
            monkeypatch.setenv("PROMETHEUS_AUTHORIZATION", secret)
            message = refusal(query)
            assert message.startswith("PROMETHEUS_AUTHORIZATION: must be one line") and secret not in message
        page.shutdown()


BAD = {
    "a password": (("http://me:pw@localhost:9090", "up"), "prometheus: leave user and password out of the address"),
    "a file": (
        ("file:///etc/hostname", "up"),
        "prometheus = 'file:///etc/hostname': must be an address such as http://",
    ),
    "no scheme": (("localhost:9090", "up"), "prometheus = 'localhost:9090': must be an address"),
    "no query": (("http://localhost:9090", " "), "query = '': must be a query such as"),
    "one day": (("http://localhost:9090", "up", 1), "days = 1: must be at least 2"),
    "no row": (("http://localhost:9090", "up", 3, 0), "row_seconds = 0: must be at least 1"),
    "another window": (
        ("http://localhost:9090", "increase(x[5m])", 3, 60),
        "row_seconds = 60: increase counts over 300 s here; leave --row-seconds out, or query a rate",
    ),
}


@cases(("arguments", "message"), BAD.values())
def test_a_bad_argument_is_refused_before_anything_is_sent(arguments, message):
    with pytest.raises(ValueError) as error:
        Query(*arguments)
    assert str(error.value).startswith(message)


def test_the_command_needs_address_and_query_and_no_file(capsys):
    url = ["--prometheus", "http://127.0.0.1:1"]
    for arguments, message in (
        (url, "--prometheus and --query: give both, or a file"),
        (["--query", "up"], "--prometheus and --query: give both, or a file"),
        (["a.csv", *url, "--query", "up"], "FILE and --prometheus: only one of them"),
    ):
        assert main(["advise", *arguments]) == 2
        assert message in capsys.readouterr().err
