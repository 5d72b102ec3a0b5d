/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/kinds/xferwhy.h"

#include <string.h>

#include <curl/curl.h>

#include "daemon/kinds/xferurl.h"

static bool is_tls_code(CURLcode code)
{
	static const CURLcode codes[] = {
		CURLE_SSL_CONNECT_ERROR,     CURLE_PEER_FAILED_VERIFICATION,
		CURLE_SSL_ENGINE_NOTFOUND,   CURLE_SSL_ENGINE_SETFAILED,
		CURLE_SSL_CERTPROBLEM,	     CURLE_SSL_CIPHER,
		CURLE_USE_SSL_FAILED,	     CURLE_SSL_CACERT_BADFILE,
		CURLE_SSL_SHUTDOWN_FAILED,   CURLE_SSL_CRL_BADFILE,
		CURLE_SSL_ISSUER_ERROR,	     CURLE_SSL_PINNEDPUBKEYNOTMATCH,
		CURLE_SSL_INVALIDCERTSTATUS, CURLE_SSL_CLIENTCERT,
	};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i] == code)
			return true;
	return false;
}

static const char *tls_advice(const struct xfer *x, CURLcode code)
{
	bool has_own_file = x->ca_file && *x->ca_file;

	if (code == CURLE_PEER_FAILED_VERIFICATION)
		return has_own_file ? "; check the address, or add the server's CA to ca_file (see "
				      "awaitd.conf(5))"
				    : "; check the address, or add the server's CA to this "
				      "machine's certificates, or to ca_file (see awaitd.conf(5))";
	if (code == CURLE_SSL_CACERT_BADFILE)
		return has_own_file ? "; look at the setting ca_file"
				    : "; install this machine's CA certificates (ca-certificates)";
	return "";
}

static int fail_connect(struct xfer *x, const char *where, const char *why, struct aw_err *err)
{
	if (x->denied && x->is_denied_by_setting)
		return aw_fail(err, AW_NETWORK,
			       "%s is at %s, in this machine or its private network, which this "
			       "awaitd does not contact; the administrator can allow it with "
			       "allow_networks (see awaitd.conf(5))",
			       where, x->denied);
	if (x->denied)
		return aw_fail(err, AW_NETWORK,
			       "%s is at %s, a link-local, metadata or multicast address, which "
			       "awaitd never contacts",
			       where, x->denied);
	return aw_fail(err, AW_NETWORK,
		       "cannot connect to %s: %s; is the server running, and the port "
		       "right?",
		       where, x->os_errno ? strerror(x->os_errno) : why);
}

int xferwhy_explain(struct xfer *x, struct aw_err *err)
{
	CURLcode code = (CURLcode)x->code;
	cleanup_free char *host_raw = xferurl_part(x->hop, CURLUPART_HOST, 0);
	cleanup_free char *host = xferurl_clean_text(host_raw);
	cleanup_free char *port = xferurl_part(x->hop, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	cleanup_free char *where = xasprintf("%.200s port %s", host, port);
	cleanup_free char *why = xferurl_clean_text(x->why[0] ? x->why : curl_easy_strerror(code));

	if (is_tls_code(code))
		return aw_fail(err, AW_TLS, "no secure connection to %s: %s%s", where, why,
			       tls_advice(x, code));
	switch ((int)code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return aw_fail(err, AW_NETWORK,
			       "cannot resolve host \"%.200s\": check the name and this machine's "
			       "name servers",
			       host);
	case CURLE_COULDNT_RESOLVE_PROXY:
		return aw_fail(err, AW_NETWORK,
			       "cannot resolve the proxy's name: check the setting \"proxy\"");
	case CURLE_COULDNT_CONNECT:
	case CURLE_ABORTED_BY_CALLBACK:
		return fail_connect(x, where, why, err);
	case CURLE_OPERATION_TIMEDOUT:
		return aw_fail(err, AW_TIMEOUT, "no connection to %s within %g s (connect_timeout)",
			       where, (double)x->connect_timeout_us / 1e6);
	case CURLE_GOT_NOTHING:
		return aw_fail(err, AW_NETWORK, "%s closed the connection without an answer",
			       where);
	case CURLE_PARTIAL_FILE:
		return aw_fail(err, AW_NETWORK, "%s closed the connection before the end: %s",
			       where, why);
	case CURLE_OUT_OF_MEMORY:
		/* This is what libcurl says of a line that is too long for it. */
		if (!x->is_head_done)
			return aw_fail(err, AW_NETWORK,
				       "%s sent a header of more than %d KiB, which is no answer",
				       where, CURL_MAX_HTTP_HEADER / 1024);
		return aw_fail(err, AW_NETWORK, "the transfer from %s failed: %s", where, why);
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
		return aw_fail(err, AW_NETWORK, "%s does not speak HTTP: %s", where, why);
	default:
		return aw_fail(err, AW_NETWORK, "the transfer from %s failed: %s", where, why);
	}
}
