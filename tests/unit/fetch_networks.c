/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/fetch_fixture.h"

/* Which addresses are contacted (R4.12). */

static const struct {
	const char *text;
	bool denied;
} addresses[] = {
	{ "127.0.0.1", false },
	{ "10.0.0.1", false },
	{ "100.100.100.199", false },
	{ "169.253.255.255", false },
	{ "169.254.0.1", true },
	{ "169.254.169.254", true },
	{ "170.0.0.1", false },
	{ "100.100.100.200", true },
	{ "0.0.0.0", true },
	{ "0.1.2.3", true },
	{ "1.0.0.1", false },
	{ "224.0.0.1", true },
	{ "239.255.255.255", true },
	{ "240.0.0.1", false },
	{ "255.255.255.255", true },
	{ "::1", false },
	{ "::", true },
	{ "fe80::1", true },
	{ "febf::1", true },
	{ "fec0::1", false },
	{ "fd00:ec2::254", true },
	{ "fd00:ec2::253", false },
	{ "ff02::1", true },
	{ "::ffff:169.254.169.254", true },
	{ "::ffff:127.0.0.1", false },
	{ "::ffff:0.0.0.0", true },
	{ "64:ff9b::a9fe:a9fe", true },
	{ "64:ff9b::7f00:1", false },
	{ "::169.254.169.254", true },
	{ "2001:db8::1", false },
};

static const struct sockaddr *address_of(const char *text)
{
	static struct sockaddr_in in;
	static struct sockaddr_in6 in6;

	in = (struct sockaddr_in){ .sin_family = AF_INET };
	in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		return (const struct sockaddr *)&in;
	ck_assert_int_eq(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
	return (const struct sockaddr *)&in6;
}

START_TEST(link_local_and_metadata_addresses_are_denied)
{
	const char *text = addresses[_i].text;

	ck_assert_msg(deny_address(address_of(text)) == addresses[_i].denied, "%s", text);
}
END_TEST

/* What belongs to the machine or its site, in all its disguises; and what does not, just beside. */
static const struct {
	const char *text;
	bool is_local;
} locals[] = {
	{ "127.0.0.1", true },
	{ "127.255.255.255", true },
	{ "126.255.255.255", false },
	{ "128.0.0.1", false },
	{ "10.0.0.1", true },
	{ "11.0.0.1", false },
	{ "172.15.255.255", false },
	{ "172.16.0.1", true },
	{ "172.31.255.255", true },
	{ "172.32.0.1", false },
	{ "192.168.7.7", true },
	{ "192.169.0.1", false },
	{ "100.64.0.1", true },
	{ "100.127.255.255", true },
	{ "100.128.0.1", false },
	{ "198.18.0.1", true },
	{ "8.8.8.8", false },
	{ "::1", true },
	{ "::2", false },
	{ "fc00::1", true },
	{ "fdff::1", true },
	{ "fe00::1", false },
	{ "fec0::1", true },
	{ "2001:db8::1", false },
	{ "::ffff:127.0.0.1", true },
	{ "::ffff:8.8.8.8", false },
	{ "64:ff9b::10.1.2.3", true },
	{ "64:ff9b::8.8.8.8", false },
	{ "::10.1.2.3", true },
	{ "2002:c0a8:0101::1", true },
	{ "2002:0808:0808::1", false },
};

START_TEST(local_addresses_are_denied_unless_allowed)
{
	const struct sockaddr *sa = address_of(locals[_i].text);
	struct network allowed[2];

	ck_assert_msg(deny_local(sa, NULL, 0) == locals[_i].is_local, "%s", locals[_i].text);
	ck_assert(!deny_local(sa, any_network, 1));
	ck_assert_ptr_null(network_parse("10.1.0.0/16", &allowed[0]));
	ck_assert_ptr_null(network_parse("fd00::/8", &allowed[1]));
	ck_assert(!deny_local(address_of("10.1.255.255"), allowed, 2));
	ck_assert(!deny_local(address_of("::ffff:10.1.2.3"), allowed, 2));
	ck_assert(deny_local(address_of("10.2.0.0"), allowed, 2));
	ck_assert(!deny_local(address_of("fd12::1"), allowed, 2));
	ck_assert(deny_local(address_of("fc12::1"), allowed, 2));
}
END_TEST

static const struct {
	const char *text, *shown; /* NULL: it is refused */
} networks[] = {
	{ "10.0.0.0/8", "10.0.0.0/8" },
	{ "10.0.0.1", "10.0.0.1/32" },
	{ "0.0.0.0/0", "0.0.0.0/0" },
	{ "::/0", "::/0" },
	{ "FD00::/8", "fd00::/8" },
	{ "::1", "::1/128" },
	{ "10.0.0.1/8", NULL },
	{ "10.0.0.0/33", NULL },
	{ "10.0.0.0/", NULL },
	{ "10.0.0.0/8x", NULL },
	{ "10.0.0.0/-1", NULL },
	{ "10.0.0.0/00008", NULL },
	{ "::/129", NULL },
	{ "/8", NULL },
	{ "10", NULL },
	{ "example.org", NULL },
};

START_TEST(networks_are_parsed_strictly)
{
	char text[NETWORK_TEXT_BYTES];
	struct network n;
	const char *why = network_parse(networks[_i].text, &n);

	ck_assert_msg(!why == !!networks[_i].shown, "%s: %s", networks[_i].text, why ? why : "");
	if (why)
		return;
	network_format(&n, text);
	ck_assert_str_eq(text, networks[_i].shown);
}
END_TEST

/* As a setting: the server on loopback is not contacted, by no way round. */
START_TEST(local_server_is_not_contacted)
{
	cleanup_free char *before = ask("/count/local"), *after = NULL;
	char urls[3][96];
	struct run *r;

	snprintf(urls[0], sizeof(urls[0]), "http://127.0.0.1:%d/count/local", server_port);
	snprintf(urls[1], sizeof(urls[1]), "http://localhost:%d/count/local", server_port);
	snprintf(urls[2], sizeof(urls[2]), "http://[::ffff:127.0.0.1]:%d/count/local", server_port);
	settings.allow_networks.n = 0;
	for (int i = 0; i < 3; i++) {
		r = run_it(urls[i], NULL);
		expect_error(r, AW_NETWORK, "allow_networks");
		run_free(r);
	}
	settings.allow_networks.n = 1;
	after = ask("/count/local");
	ck_assert_int_eq(strtol(after, NULL, 10), strtol(before, NULL, 10) + 1);
}
END_TEST

/* Denied ones behind which nobody is, should the rule ever be broken. */
START_TEST(denied_address_is_never_contacted)
{
	static const char *const urls[] = { "http://224.0.0.1/", "http://0x7f.1@0/",
					    "http://[ff02::1]/" };
	struct run *r = _i < 3 ? run_it(urls[_i], NULL)
			       : run_it(url_of("/redirect-to?url=http://224.0.0.1/"), NULL);

	expect_error(r, AW_NETWORK, "never contacts");
	run_free(r);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("fetch_networks");
	TCase *tc = add_case(s, "networks");

	tcase_add_loop_test(tc, link_local_and_metadata_addresses_are_denied, 0, N_OF(addresses));
	tcase_add_loop_test(tc, local_addresses_are_denied_unless_allowed, 0, N_OF(locals));
	tcase_add_loop_test(tc, networks_are_parsed_strictly, 0, N_OF(networks));
	tcase_add_test(tc, local_server_is_not_contacted);
	tcase_add_loop_test(tc, denied_address_is_never_contacted, 0, 4);
	return s;
}

int main(void)
{
	return fetch_main(suite());
}
