"""What must stay secret stands in no file and in no word of a studio: passwords, tokens, keys, cookies."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx

PASSWORD, WRONG = "an-open-sesame-71", "no-sesame-72"
KEYS = {"CAI_SERVER_KEY": "sk-secret-73", "HF_TOKEN": "hf_secret_74", "OPENAI_API_KEY": "sk-secret-75"}


def test_no_secret_is_in_files_logs_or_exports(tmp_path: Path) -> None:
    environment = {**os.environ, **KEYS, "CAI_HOME": str(tmp_path / "home"), "CAI_AUTH": f"ana:{PASSWORD}"}
    secrets = [PASSWORD, WRONG, *KEYS.values()]
    with (tmp_path / "said").open("w") as said:

        def studio(*words: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "studio", *words]
            return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=said, text=True)

        with studio("--no-browser", "--port", "0", "--session", "test", "--auth", "ana") as running:
            assert running.stdout is not None
            line = running.stdout.readline()
            address = re.search(r"http://\S+", line)
            assert address, "the studio did not start"
            url = address[0].rstrip("/")
            with httpx.Client(base_url=url, headers={"Origin": url}) as client:
                for password, status in ((WRONG, 401), (PASSWORD, 303)):
                    form = {"username": "ana", "password": password, "next": "/"}
                    assert client.post("/login", data=form).status_code == status
                secrets += list(client.cookies.values())
                assert len(secrets) == 6
                assert client.get(f"/nothing?key={KEYS['HF_TOKEN'][:3]}").status_code == 404
                assert client.get("/").status_code == 200
            running.terminate()
            told = line + running.stdout.read()
        for words in (["sessions", "backup", "test"], ["sessions", "export", "test", "-o"], ["doctor"]):
            more = [str(tmp_path / "test.cai.zip")] if words[-1] == "-o" else []
            with studio(*words, *more) as once:
                assert once.stdout is not None
                told += once.stdout.read()
            assert once.returncode == 0, words
    with zipfile.ZipFile(tmp_path / "test.cai.zip") as packed:
        packed.extractall(tmp_path / "unpacked")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".duckdb" for path in files)
    for secret in secrets:
        assert secret not in told
        assert [path for path in files if secret.encode() in path.read_bytes()] == []
