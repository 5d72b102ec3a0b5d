/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/kinds/xferurl.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/xalloc.h"
#include "tests/unit/suite.h"

/* Whatever is called plain, the parser takes as it is, with a host. */
START_TEST(plain_ones_are_good)
{
	static const char *const urls[] = {
		"http://a",
		"https://example.org",
		"http://example.org/",
		"https://Sub.Example-1.org:8443/a/b.tar.gz?x=1&y=%20+z,%2F",
		"http://127.0.0.1:8080/f/000001.bin",
		"http://1.2.3.4.5/",
		"http://0x7f.1/",
		"http://a:1/../x/./..//y",
		"http://a:9999",
		"http://a/?",
		"http://a/%",
		"http://a/~user/-_=",
	};

	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		CURLUcode code;
		CURLU *u = xferurl_parse(urls[i], &code);
		cleanup_free char *host = NULL;

		ck_assert_msg(xferurl_is_plain(urls[i]), "%s", urls[i]);
		ck_assert_msg(u != NULL, "%s: %s", urls[i], curl_url_strerror(code));
		host = xferurl_part(u, CURLUPART_HOST, 0);
		ck_assert_msg(*host, "%s", urls[i]);
		ck_assert(xferurl_has_scheme(u, "http") || xferurl_has_scheme(u, "https"));
		curl_url_cleanup(u);
	}
}
END_TEST

START_TEST(others_are_for_the_parser)
{
	static const char *const urls[] = {
		"",
		"http",
		"http://",
		"http:///x",
		"HTTP://a/",
		"ftp://a/",
		"file:///etc/passwd",
		"http://-a/",
		"http://a-/",
		"http://.a/",
		"http://a./",
		"http://a..b/",
		"http://a_b/",
		"http://[::1]/",
		"http://user@a/",
		"http://user:password@a/",
		"http://a:80@b/",
		"http://a:",
		"http://a:/",
		"http://a:0/",
		"http://a:080/",
		"http://a:65536/",
		"http://a:123456/",
		"http://a:80x/",
		"http://a?x",
		"http://a#x",
		"http://a/#x",
		"http://a/b c",
		"http://a/b\nc",
		"http://a/\xc3\xa9",
		"http://\xc3\xa9/",
		"http://a\\b/",
		"http://a/\\b",
		"http://a/\"",
	};

	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++)
		ck_assert_msg(!xferurl_is_plain(urls[i]), "%s", urls[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("xferurl");
	TCase *tc = tcase_create("plain");

	tcase_add_test(tc, plain_ones_are_good);
	tcase_add_test(tc, others_are_for_the_parser);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
