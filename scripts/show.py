"""What scripts/demo shows: a .rec becomes shards of TFRecord, which are read back and verified."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import recordio_bridge as rb

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = ROOT.parent / "shared" / "data" / "photos.rec"


def main() -> int:
    source = PHOTOS if PHOTOS.exists() else ROOT / "examples" / "shapes.rec"
    folder = ROOT / "demo-output"
    folder.mkdir(exist_ok=True)
    target = folder / f"{source.stem}.tfrecord"

    summary = rb.inspect(source)
    print(f"{source}: {summary.num_rows} rows, {summary.nbytes:,} bytes of {summary.format}")
    for field in summary.schema.values():
        print(f"    {field}")

    start = time.perf_counter()
    select = {"image/encoded": "image", "image/class/label:int64": "label[0]"}
    manifest = rb.convert(source, target, select=select, shards=3, shuffle=True, seed=1, overwrite=True)
    elapsed = time.perf_counter() - start
    print(f"\nshuffled, and written in {elapsed:.2f} s as")
    for path, shard in zip(manifest.paths, manifest.shards, strict=True):
        print(f"    {path}: {shard.num_rows} rows, {shard.nbytes:,} bytes")
    print(f"    {target}.schema.json: what the columns are")
    print(f"    {target}.manifest.json: rows, sizes and checksums; verified: {manifest.verified}")

    report = rb.verify(target)
    print(f"\nread back from disk: {report.num_rows} rows, {'all sound' if report.ok else report.problems}")
    for row in rb.open(target)[:3].rows():
        image = row["image/encoded"]
        print(f"    label {row['image/class/label']}: {len(image):,} bytes, begins with {image[:4].hex(' ')}")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
