"""Makes tests/data/aedat4.tar.gz: the recordings of tests/data/inputs.tar.gz as iniVation's own dv-processing writes them.

Run it where dv-processing is installed (pip install dv-processing):

    python scripts/make_aedat4.py tests/data/inputs.tar.gz tests/data/aedat4.tar.gz

user01_led.aedat4 is compressed by LZ4 and has a stream of triggers too, user02_lab.aedat4 is compressed by ZSTD, and
plain.aedat4 is user02_lab without compression.
"""

import struct
import sys
import tarfile
import tempfile
from pathlib import Path

import dv_processing as dv

INPUTS, ARCHIVE = sys.argv[1:]
FILES = [("user01_led", "user01_led", "LZ4"), ("user02_lab", "user02_lab", "ZSTD"), ("plain", "user02_lab", "NONE")]


def events(content):
    """Events of a recording in AEDAT 3.1."""
    end = b"#!END-HEADER\r\n"
    at = content.index(end) + len(end)
    while at < len(content):
        _, _, size, _, overflow, capacity, number, _ = struct.unpack_from("<HHIIIIII", content, at)
        for word, t in struct.iter_unpack("<II", content[at + 28 : at + 28 + number * size]):
            yield overflow << 31 | t, word >> 17, word >> 2 & 0x7FFF, bool(word & 2)
        at += 28 + capacity * size


with tempfile.TemporaryDirectory() as folder, tarfile.open(INPUTS) as inputs, tarfile.open(ARCHIVE, "w:gz") as tar:
    for name, recording, compression in FILES:
        content = inputs.extractfile(f"recordings/{recording}.aedat").read()
        config = dv.io.MonoCameraWriter.Config("DVS")
        config.addEventStream((128, 128))
        if compression == "LZ4":
            config.addTriggerStream()
        config.compression = getattr(dv.CompressionType, compression)
        path = Path(folder) / f"{name}.aedat4"
        writer = dv.io.MonoCameraWriter(str(path), config)
        writer.setPackagingCount(300)
        store = dv.EventStore()
        for event in events(content):
            store.push_back(*event)
        if compression == "LZ4":
            writer.writeTrigger(dv.Trigger(1, dv.TriggerType.EXTERNAL_SIGNAL_RISING_EDGE))
        writer.writeEvents(store)
        del writer
        info = tar.gettarinfo(path, f"{name}.aedat4")
        info.mtime = info.uid = info.gid = 0
        info.uname = info.gname = ""
        with path.open("rb") as file:
            tar.addfile(info, file)
