"""One page of a listing as bytes: what it says, and everything that is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.core.errors import ListingMalformed
from crypto_lakehouse.core.listed import ListedObject
from crypto_lakehouse.http.s3_listing_xml import (
    PAGE_LIMIT_BYTES,
    NotAListing,
    PageParser,
    ParsedPage,
)

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
LAST = "<IsTruncated>false</IsTruncated>"
MORE = "<IsTruncated>true</IsTruncated>"

#: Everything that S3 writes on a page, declaration and all; and a character of three bytes.
WHOLE = f"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="{NAMESPACE}"><Name>data.binance.vision</Name>
<Prefix>data/</Prefix><Marker></Marker><NextMarker>data/币安/</NextMarker>
<MaxKeys>2</MaxKeys><Delimiter>/</Delimiter>{MORE}<Contents><Key>data/a&amp;b.zip</Key>
<LastModified>2025-07-15T03:00:00.000Z</LastModified><ETag>&quot;0f&quot;</ETag>
<Size>1234</Size><Owner><ID>1</ID><DisplayName>x</DisplayName></Owner>
<StorageClass>STANDARD</StorageClass></Contents>
<CommonPrefixes><Prefix>data/币安/</Prefix></CommonPrefixes></ListBucketResult>"""
WHOLE_PAGE = ParsedPage(
    objects=(ListedObject("data/a&b.zip", 1234, '"0f"', "2025-07-15T03:00:00.000Z"),),
    folders=("data/币安/",),
    is_truncated=True,
    next_marker="data/币安/",
)

LAUGHS = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>
<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>&c;</Key></Contents>
</ListBucketResult>"""


def parse(*pieces: str | bytes) -> ParsedPage:
    parser = PageParser("http://bucket.example/")
    for piece in pieces:
        parser.feed(piece.encode() if isinstance(piece, str) else piece)
    return parser.close()


def page(inner: str) -> str:
    return f'<ListBucketResult xmlns="{NAMESPACE}">{inner}</ListBucketResult>'


def an_object(key: str = "k", size: str = "1", more: str = "") -> str:
    return f"<Contents><Key>{key}</Key><Size>{size}</Size>{more}</Contents>"


def refusal(*pieces: str | bytes) -> ListingMalformed:
    with pytest.raises(ListingMalformed) as caught:
        parse(*pieces)
    assert caught.value.url == "http://bucket.example/"
    return caught.value


def test_a_page_is_read_as_it_says_itself() -> None:
    assert parse(WHOLE) == WHOLE_PAGE


def test_a_page_of_nothing_is_a_page() -> None:
    assert parse(page(LAST)) == ParsedPage((), (), is_truncated=False, next_marker=None)


@given(st.lists(st.integers(0, len(WHOLE.encode())), max_size=12))
def test_bytes_may_arrive_in_any_pieces(cuts: list[int]) -> None:
    data = WHOLE.encode()
    ends = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(ends)]
    assert parse(*pieces) == WHOLE_PAGE


def test_bytes_may_arrive_one_at_a_time() -> None:
    assert parse(*(bytes([byte]) for byte in WHOLE.encode())) == WHOLE_PAGE


@given(st.integers(1, len(WHOLE.encode()) - 1))
def test_a_page_that_is_cut_off_anywhere_may_be_asked_for_again(length: int) -> None:
    error = refusal(WHOLE.encode()[:length])
    assert error.transient
    assert error.reason == "malformed listing: it is cut off"


@pytest.mark.parametrize("end", ["<![CDATA[b", "<![CDATA[b]]", "<!-- b", "&am", "<?b", "币"])
def test_a_page_that_is_cut_off_within_a_key_may_be_asked_for_again(end: str) -> None:
    cut = f"<ListBucketResult>{LAST}<Contents><Key>a{end}"
    for data in (cut.encode(), cut.encode()[:-1]):
        error = refusal(data)
        assert error.transient
        assert error.reason == "malformed listing: it is cut off"


def test_a_page_that_is_cut_off_between_two_objects_is_no_shorter_page() -> None:
    whole = page(LAST + an_object("a") + an_object("b"))
    assert refusal(whole.partition("<Contents><Key>b")[0]).transient


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<!DOCTYPE html><html><body>Sign in</body></html>",
        "<!doctype html><html></html>",
        "<html><body><p>Sign in</body></html>",
        "<Error><Code>AccessDenied</Code></Error>",
        '{"error": "not found"}',
        "Service",
        b"\x1f\x8b\x08\x00 compressed",
        LAUGHS,
        LAUGHS.replace("lolz [", 'lolz SYSTEM "file:///etc/passwd" ['),
    ],
)
def test_another_document_is_no_listing_and_stays_none(body: str | bytes) -> None:
    for pieces in ([body], [body[place : place + 1] for place in range(len(body))]):
        error = refusal(*pieces)
        assert isinstance(error, NotAListing)
        assert not error.transient


def test_entities_are_refused_before_they_are_declared() -> None:
    parser = PageParser("http://bucket.example/")
    with pytest.raises(NotAListing, match="document type"):
        parser.feed(LAUGHS.partition("<!ENTITY")[0].encode())


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        ("<Contents></CommonPrefixes>", "it is not XML: mismatched tag"),
        (f"{LAST}<Contents><Key>&nbsp;</Key></Contents>", "it is not XML: undefined entity"),
        ("", "it does not say whether it is truncated"),
        ("<IsTruncated>maybe</IsTruncated>", "it does not say whether it is truncated"),
        ("<IsTruncated>TRUE</IsTruncated>", "it does not say whether it is truncated"),
        ("<IsTruncated/>", "it does not say whether it is truncated"),
        (LAST + MORE, "it has `IsTruncated` twice"),
        (f"{LAST}<NextMarker>a</NextMarker>", "it is marked as the last page, but has"),
        (f"{LAST}<Contents><Size>1</Size></Contents>", "an object without a key"),
        (LAST + an_object(key=""), "an object without a key"),
        (LAST + an_object(more="<Key>l</Key>"), "it has `Key` twice"),
        (f"{LAST}<Contents><Key>k</Key></Contents>", "an object of size ``"),
        (f"{LAST}<Contents><Key>a<Size>1</Size>b</Key></Contents>", "a `Size` in a `Key`"),
        (LAST + "<a>" * 20 + "</a>" * 20, "a `a` in a `a`"),
        (f"{LAST}<EncodingType>base64</EncodingType>", "unknown encoding type `base64`"),
        (f"{LAST}<EncodingType>url</EncodingType>{an_object('%ff')}", "a key that is not UTF-8"),
    ],
)
def test_a_page_that_makes_no_sense_is_refused(inner: str, reason: str) -> None:
    error = refusal(page(inner))
    assert error.reason.startswith(f"malformed listing: {reason}")
    assert type(error) is ListingMalformed
    assert error.transient


@pytest.mark.parametrize("size", ["", "-1", "1.5", "1e3", "1_0", " 1", "many", "١", "9" * 5000])
def test_an_object_has_a_size_that_is_a_plain_number(size: str) -> None:
    assert "an object of size `" in refusal(page(LAST + an_object(size=size))).reason


def test_a_size_may_be_as_long_as_objects_are() -> None:
    (found,) = parse(page(LAST + an_object(size="9" * 18))).objects
    assert found.size_bytes == 10**18 - 1


def test_an_object_may_lack_its_etag_and_date() -> None:
    (found,) = parse(page(LAST + an_object())).objects
    assert found == ListedObject("k", 1, None, None)


def test_keys_that_are_encoded_as_urls_are_decoded() -> None:
    marker = "<NextMarker>a%2Fb</NextMarker><EncodingType>url</EncodingType>"
    folders = "<CommonPrefixes><Prefix>%E5%B8%81+%2B/</Prefix></CommonPrefixes>"
    parsed = parse(page(MORE + marker + an_object("a%20%26+%25") + folders))
    assert [item.key for item in parsed.objects] == ["a & %"]
    assert parsed.folders == ("币 +/",)
    assert parsed.next_marker == "a/b"


def test_keys_that_are_encoded_as_urls_need_no_next_marker() -> None:
    assert parse(page(f"{MORE}<EncodingType>url</EncodingType>")).next_marker is None


def test_keys_that_are_not_encoded_keep_their_percent_signs() -> None:
    assert parse(page(LAST + an_object("a%20+b"))).objects[0].key == "a%20+b"


def test_an_empty_next_marker_is_none() -> None:
    assert parse(page(f"{LAST}<NextMarker/>")).next_marker is None


def test_whether_it_is_truncated_may_stand_on_a_line_of_its_own() -> None:
    assert parse(page("<IsTruncated>\n  true\n</IsTruncated>")).is_truncated


@pytest.mark.parametrize("name", ["s3:", "", "a.b-c:"])
def test_elements_may_have_a_namespace_or_none(name: str) -> None:
    declared = f' xmlns:{name[:-1]}="{NAMESPACE}"' if name else ""
    fields = f"<{name}Contents><{name}Key>k</{name}Key><{name}Size>1</{name}Size></{name}Contents>"
    truncated = f"<{name}IsTruncated>false</{name}IsTruncated>"
    root = f"{name}ListBucketResult"
    assert parse(f"<{root}{declared}>{truncated}{fields}</{root}>").objects[0].key == "k"


@pytest.mark.parametrize(
    "extra",
    [
        "<Owner><Key>other</Key><Size>9</Size></Owner>",
        "<Contents><Key>other</Key></Contents>",
        "<RestoreStatus><IsRestoreInProgress>true</IsRestoreInProgress></RestoreStatus>",
        "<ChecksumAlgorithm>CRC32</ChecksumAlgorithm>" * 2,
        "<CommonPrefixes><Prefix>other/</Prefix></CommonPrefixes>",
        "<!-- a comment --><?and an instruction?>",
    ],
)
def test_elements_that_are_not_needed_are_passed_over(extra: str) -> None:
    unknown = f"<Unknown><IsTruncated>true</IsTruncated>{an_object('other')}</Unknown>"
    parsed = parse(page(unknown + LAST + an_object(more=extra) + unknown))
    assert parsed == parse(page(LAST + an_object()))


def test_a_key_is_one_text_in_however_many_pieces() -> None:
    key = "a<!-- -->&amp;<![CDATA[<b>]]>&#x5e01;"
    assert parse(page(LAST + an_object(key))).objects[0].key == "a&<b>币"


def test_folders_may_share_an_element_or_have_one_each() -> None:
    inner = "<Prefix>a/</Prefix><Prefix>b/</Prefix>"
    both = f"<CommonPrefixes>{inner}<Other/></CommonPrefixes>"
    last = "<CommonPrefixes><Size>1</Size><Prefix>c/</Prefix></CommonPrefixes>"
    assert parse(page(LAST + both + last)).folders == ("a/", "b/", "c/")


@pytest.mark.parametrize("encoding", ["UTF-8", "ISO-8859-1", "shift_jis", "no-such-thing"])
def test_pages_are_utf_8_whatever_they_say(encoding: str) -> None:
    declared = f'<?xml version="1.0" encoding="{encoding}"?>'
    assert parse(declared + page(LAST + an_object("币"))).objects[0].key == "币"


def test_bytes_that_are_not_utf_8_are_refused() -> None:
    assert refusal(page(LAST + an_object("?")).encode().replace(b"?", b"\xb1\xd2")).transient


def test_a_page_may_not_grow_without_end() -> None:
    parser = PageParser("http://bucket.example/")
    parser.feed(b"<ListBucketResult>" + b" " * (PAGE_LIMIT_BYTES - 18))
    with pytest.raises(ListingMalformed, match="a page of more than"):
        parser.feed(b" ")


def test_a_page_may_be_as_large_as_the_limit() -> None:
    head, tail = "<ListBucketResult>", f"{LAST}</ListBucketResult>"
    padding = " " * (PAGE_LIMIT_BYTES - len(head) - len(tail))
    assert not parse(head, padding, tail).is_truncated
