"""Runs in another harness's environment: the same items through its own classes.

``python peer_child.py PEER JOB`` prints what happened, one JSON object. Imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

LETTERS = "ABCDEFGHIJ"
Job = dict[str, Any]
Way = Callable[[], list[Any]]


def attempt(way: Way) -> dict[str, Any]:
    """Return a way's values and the CPU seconds of its second run, or why there are none."""
    try:
        way()
        began = time.process_time()
        values = way()
    except Exception as error:  # whatever it says is the finding
        lines = str(error).strip().splitlines() or [""]
        return {"says": f"{type(error).__name__}: {lines[0]}"}
    return {"values": values, "cpu_s": time.process_time() - began}


def lm_eval(job: Job) -> dict[str, dict[str, Any]]:
    """Log-likelihoods and texts of lm-evaluation-harness' ``hf-multimodal``."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.hf_vlms import HFMultimodalLM
    from PIL import Image

    lm = HFMultimodalLM(
        pretrained=job["checkpoint"], device="cpu", dtype="float32", batch_size=job["batch"]
    )

    def request(kind: str, item: Job, text: str, second: Any) -> Any:
        prompt = lm.apply_chat_template([{"role": "user", "content": f"<image>{text}"}])
        picture = Image.open(item["image"]).convert("RGB")
        return Instance(kind, {}, (prompt, second, {"visual": [picture]}), 0)

    def closed() -> list[Any]:
        asked = [
            request("loglikelihood", item, item["closed"], letter)
            for item in job["items"]
            for letter in LETTERS[: item["options"]]
        ]
        return [value for value, _ in lm.loglikelihood(asked, disable_tqdm=True)]

    def opened() -> list[Any]:
        options = {"until": [], "max_gen_toks": job["cap"], "do_sample": False}
        asked = [request("generate_until", i, i["open"], dict(options)) for i in job["items"]]
        return list(lm.generate_until(asked, disable_tqdm=True))

    return {"hf-multimodal closed": attempt(closed), "hf-multimodal open": attempt(opened)}


def lmms_eval(job: Job) -> dict[str, dict[str, Any]]:
    """Log-likelihoods and texts of lmms-eval's ``llava_hf``; what its general backends say."""
    from PIL import Image

    found: dict[str, dict[str, Any]] = {}

    def picture(item: Job) -> list[Any]:
        return [Image.open(item["image"]).convert("RGB")]

    def llava() -> Any:
        from lmms_eval.models.simple.llava_hf import LlavaHf

        made = LlavaHf(
            pretrained=job["checkpoint"],
            device="cpu",
            device_map="cpu",
            dtype="float32",
            chat_template=job["template"],
        )
        made.task_dict["bench"] = {"test": job["items"]}
        return made

    def request(kind: str, first: Any, text: str, place: int) -> Any:
        from lmms_eval.api.instance import Instance

        names = {"task": "bench", "doc_id": place, "repeats": 1}
        arguments = (text, first, picture, place, "bench", "test")
        return Instance(request_type=kind, arguments=arguments, idx=0, metadata=names)

    def closed(lm: Any) -> list[Any]:
        asked = [
            request("loglikelihood", letter, item["closed"], place)
            for place, item in enumerate(job["items"])
            for letter in LETTERS[: item["options"]]
        ]
        return [-value for value, _ in lm.loglikelihood(asked)]

    def opened(lm: Any) -> list[Any]:
        asked = [
            request("generate_until", {"max_new_tokens": job["cap"]}, item["open"], place)
            for place, item in enumerate(job["items"])
        ]
        return list(lm.generate_until(asked))

    lm = cache(llava)
    found["llava_hf closed"] = attempt(lambda: closed(lm()))
    found["llava_hf open"] = attempt(lambda: opened(lm()))

    def huggingface() -> list[Any]:
        from lmms_eval.models.chat.huggingface import Huggingface

        return closed(Huggingface(job["checkpoint"], device="cpu", device_map="cpu"))

    def asynchronous() -> list[Any]:
        from lmms_eval.models.chat.async_hf_model import AsyncHFModel

        return list(AsyncHFModel.loglikelihood(None, []))

    found["huggingface closed"] = attempt(huggingface)
    found["async_hf_model closed"] = attempt(asynchronous)
    return found


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    told: Job = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    print(json.dumps({"lm-eval": lm_eval, "lmms-eval": lmms_eval}[sys.argv[1]](told)))
