"""The options `format` and `bits`, from the form to the names, links and media types of the stems."""

from __future__ import annotations

import io
import zipfile

import httpx
import pytest

from app.jobs.record import JobOptions
from app.jobs.store import JobStore
from app.stem_formats import BITS, MEDIA_TYPES, STEM_FORMATS, StemFormat, default_bits
from app.storage.protocol import Storage
from tests.unit.test_app_api import finish, post
from tests.unit.test_app_bad_input import problem

DEFAULTS = {"wav": 32, "flac": 24, "mp3": None}


@pytest.mark.parametrize("stem_format", STEM_FORMATS)
def test_a_format_brings_its_bits(client: httpx.Client, store: JobStore, stem_format: StemFormat) -> None:
    job = post(client, format=stem_format)
    assert (job["options"]["format"], job["options"]["bits"]) == (stem_format, DEFAULTS[stem_format])
    for bits in BITS[stem_format]:
        job = post(client, format=stem_format, bits=str(bits))
        assert (job["options"]["format"], job["options"]["bits"]) == (stem_format, bits)
        assert store.get(job["id"]).options.bits == bits


def test_without_a_format_it_is_wav(client: httpx.Client) -> None:
    assert post(client)["options"]["format"] == "wav"
    assert post(client, format=" ", bits="")["options"]["bits"] == 32
    job = post(client, bits="16")
    assert (job["options"]["format"], job["options"]["bits"]) == ("wav", 16)


@pytest.mark.parametrize("stem_format", STEM_FORMATS)
def test_stems_carry_their_format(
    client: httpx.Client, store: JobStore, storage: Storage, stem_format: StemFormat
) -> None:
    job_id = post(client, format=stem_format)["id"]
    finish(job_id, store, storage)
    links = client.get(f"/v1/jobs/{job_id}").json()["links"]
    for side in ("left", "right"):
        name = f"{side}.{stem_format}"
        assert links[side] == f"/v1/jobs/{job_id}/stems/{name}"
        response = client.get(links[side])
        assert response.content == name.encode() * 100
        assert response.headers["Content-Type"] == MEDIA_TYPES[stem_format]
        assert response.headers["Content-Disposition"] == f'attachment; filename="{name}"'
        assert client.head(links[side]).headers["ETag"] == response.headers["ETag"]
        assert client.get(links[side], headers={"Range": "bytes=0-3"}).content == side.encode()[:4]
    with zipfile.ZipFile(io.BytesIO(client.get(links["stems"]).content)) as archive:
        assert sorted(archive.namelist()) == sorted([f"left.{stem_format}", f"right.{stem_format}", "result.json"])


@pytest.mark.parametrize("name", ["left.wav", "right.mp3", "left.ogg", "left", "LEFT.FLAC", "result.json", "%2e%2e"])
def test_a_name_that_the_job_has_not_is_answered_with_those_it_has(
    client: httpx.Client, store: JobStore, storage: Storage, name: str
) -> None:
    job_id = post(client, format="flac")["id"]
    for _ in range(2):
        body = problem(client.get(f"/v1/jobs/{job_id}/stems/{name}"), 404, "other_format")
        assert "left.flac and right.flac" in body["detail"]
        if not store.get(job_id).state.is_final:
            problem(client.get(f"/v1/jobs/{job_id}/stems/left.flac"), 409, "stem_not_ready")
            finish(job_id, store, storage)


def test_old_records_and_wrong_ones() -> None:
    assert JobOptions.model_validate({"left": "cello"}) == JobOptions(left="cello", format="wav", bits=32)
    for known in STEM_FORMATS:
        options = JobOptions(format=known)
        assert options.bits == default_bits(known) == DEFAULTS[known]
        assert JobOptions.model_validate_json(options.model_dump_json()) == options
    for wrong in ({"format": "mp3", "bits": 16}, {"format": "flac", "bits": 32}, {"format": "ogg"}, {"bits": None}):
        with pytest.raises(ValueError, match=r"bits a sample|Input should be"):
            JobOptions.model_validate(wrong)


def test_the_form_is_described(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert body["schema"]["properties"]["format"]["enum"] == ["wav", "flac", "mp3"]
    assert body["schema"]["properties"]["bits"]["enum"] == ["16", "24", "32"]
    stem = document["paths"]["/v1/jobs/{job_id}/stems/{name}"]["get"]
    assert set(stem["responses"]["200"]["content"]) == set(MEDIA_TYPES.values())
    (name,) = (parameter for parameter in stem["parameters"] if parameter["name"] == "name")
    assert {"left.wav", "right.flac", "left.mp3"} < set(name["schema"]["enum"])
