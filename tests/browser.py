"""Chromium without a window, driven through its DevTools protocol over a pipe: no package and no port is needed."""

import base64
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_OWN = re.compile(r"https?://([\w.-]+\.)?(google|googleapis|gvt1|gstatic)\.com/")  # the browser's, to its maker
_KEYS = {"Enter": ("\r", 13), "Escape": ("", 27), "Tab": ("", 9)}
_SHIFT, _CTRL = 8, 2


class BrowserError(Exception):
    """The browser refused a command, or a script in the page failed."""


class Browser:
    """One page in one browser; `console` and `requests` fill as the page speaks and asks for addresses."""

    def __init__(self, folder: Path, *, width: int = 1400, height: int = 1000, scheme: str = "light") -> None:
        assert CHROMIUM
        out_read, out_write = os.pipe()
        in_read, in_write = os.pipe()
        quiet = "background-networking component-update sync default-apps domain-reliability extensions gpu"
        command = [
            CHROMIUM, "--headless", "--no-sandbox", "--no-first-run", "--remote-debugging-pipe", "--hide-scrollbars",
            *(f"--disable-{word}" for word in quiet.split()), "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={folder / 'profile'}", f"--window-size={width},{height}", "about:blank",
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(3, 4),
            env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
            preexec_fn=lambda: _as_3_and_4(in_read, out_write),
        )
        os.close(in_read)
        os.close(out_write)
        self._to, self._from = in_write, os.fdopen(out_read, "rb")
        self._number = 0
        self._session = ""
        self._buffer = b""
        self.console: list[str] = []
        self.requests: set[str] = set()
        pages = self.send("Target.getTargets")["targetInfos"]
        target = next(p["targetId"] for p in pages if p["type"] == "page")
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", features=features)
        self.resize(width, height)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._to)  # the browser ends with its pipe
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._from.close()

    def resize(self, width: int, height: int) -> None:
        """Give the page another size in pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **size)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401
        """The result of a command of the protocol; what comes in between is kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            found = self._receive()
            if found.get("id") == self._number:
                if "error" in found:
                    raise BrowserError(f"{method}: {found['error']['message']}")
                return dict(found["result"])

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            more = os.read(self._from.fileno(), 1 << 20)
            if not more:
                raise BrowserError("the browser has ended")
            self._buffer += more
        text, _, self._buffer = self._buffer.partition(b"\0")
        message = dict(json.loads(text))
        self._note(message.get("method", ""), message.get("params") or {})
        return message

    def _note(self, method: str, about: dict[str, Any]) -> None:
        match method:
            case "Runtime.consoleAPICalled":
                self.console.append(" ".join(str(a.get("value", a.get("description"))) for a in about["args"]))
            case "Runtime.exceptionThrown":
                details = about["exceptionDetails"]
                self.console.append(str(details.get("exception", {}).get("description") or details["text"]))
            case "Log.entryAdded":
                self.console.append(str(about["entry"]["text"]))
            case "Network.requestWillBeSent":
                url = str(about["request"]["url"])
                if not url.startswith(("file:", "data:", "blob:")) and not _OWN.match(url):
                    self.requests.add(url)

    def open(self, url: str, *, ready: str = "document.readyState === 'complete'") -> None:
        """Load a page and wait until the expression `ready` holds in it."""
        self.send("Page.navigate", url=url)
        self.wait(f"location.href.split('#')[0] === {json.dumps(url.split('#')[0])} && ({ready})")

    def run(self, script: str) -> Any:  # noqa: ANN401
        """The value of an expression in the page."""
        found = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise BrowserError(str(found["exceptionDetails"].get("exception", {}).get("description")))
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until an expression holds; asked again at every frame of the page, a thousand times."""
        for _ in range(1000):
            if self.run(f"new Promise((go) => setTimeout(() => go(Boolean({condition})), 16))"):
                return
        raise BrowserError(f"never came true: {condition}")

    def settle(self) -> None:
        """Until two frames are drawn."""
        self.run("new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(() => go(true))))")

    def move(self, x: float, y: float, *, held: bool = False) -> None:
        """Move the pointer to a place of the window."""
        button = {"button": "left", "buttons": 1} if held else {}
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, **button)

    def press(self, x: float, y: float) -> None:
        """Hold the left button down at a place."""
        self.send("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", buttons=1, clickCount=1)

    def release(self, x: float, y: float) -> None:
        """Let go of the left button at a place."""
        self.send("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left", clickCount=1)

    def click(self, x: float, y: float) -> None:
        """Click at a place of the window."""
        self.move(x, y)
        self.press(x, y)
        self.release(x, y)

    def click_on(self, selector: str) -> None:
        """Click in the middle of the first element that a selector finds, after scrolling to it."""
        x, y = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'nearest', behavior: 'instant'}); const r = e.getBoundingClientRect(); "
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        self.click(x, y)

    def wheel(self, x: float, y: float, delta: float, *, ctrl: bool = False) -> None:
        """Turn the wheel at a place."""
        held = _CTRL if ctrl else 0
        self.send("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=delta, modifiers=held)

    def key(self, name: str, *, shift: bool = False) -> None:
        """Type a key, a sign or a name such as "ArrowLeft"."""
        text, code = _KEYS.get(name, (name if len(name) == 1 else "", 0))
        held = _SHIFT if shift else 0
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.send("Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode=code, modifiers=held, **more)

    def text(self, selector: str) -> str:
        """What an element shows."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def screenshot(self) -> bytes:
        """The window as a PNG."""
        self.settle()
        return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])


def _as_3_and_4(to_browser: int, from_browser: int) -> None:
    """In the new process: its ends of the two pipes become the descriptors that the protocol asks for."""
    a, b = os.dup(to_browser), os.dup(from_browser)  # neither may be 3 or 4 while the other is moved
    while a in (3, 4):
        a = os.dup(a)
    while b in (3, 4):
        b = os.dup(b)
    os.dup2(a, 3)
    os.dup2(b, 4)
