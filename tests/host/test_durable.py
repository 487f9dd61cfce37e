"""Files that are made whole."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pumice.host.durable import write_text


def test_many_may_write_one_file_at_once(tmp_path: Path) -> None:
    file = tmp_path / "mark"
    texts = [f"{number}" * 5000 for number in range(8)]

    def write(text: str) -> None:
        for _ in range(25):
            write_text(file, text)
            assert file.read_text().rstrip("\n") in texts

    with ThreadPoolExecutor(len(texts)) as writers:
        list(writers.map(write, texts))
    assert list(tmp_path.iterdir()) == [file]
