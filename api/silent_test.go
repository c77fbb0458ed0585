package api_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"qifeng/api/apitest"
	"qifeng/api/client"
	"qifeng/evidence"
	"qifeng/internal/gm"
)

// planted is what callers may put where it does not belong: names, numbers,
// secrets. Each is found in whatever repeats it.
var planted = []string{"张三丰", "11010519491231002X", "13800138000", "zhang.san@example.com", "Bearer s3cr3t-t0ken", "劳动合同-张三丰.pdf"}

// TestNothingOfTheCallerIsRepeated puts personal values and secrets into every
// part of requests that are refused and of one that is taken: no problem
// document and no log line at any level repeats them, and each line of a
// request, the access line and the reason, has the request id of the answer.
func TestNothingOfTheCallerIsRepeated(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Auto()
	sub := contract(n, "content")
	sub.Dossier, sub.Step = client.NewDossier(), 1
	good := request(t, n, sub)
	user, err := gm.GenerateKey(gm.SM2)
	if err != nil {
		t.Fatal(err)
	}
	entry := n.KeyEntry(t, apitest.Node, "other", user.Public(), evidence.Submit)
	ids, answered := map[string]bool{}, map[int]int{}
	send := func(method, path string, body []byte, head ...string) {
		t.Helper()
		resp, out := plain(t, n, method, path, body, head...)
		answered[resp.StatusCode]++
		id := resp.Header.Get("X-Request-Id")
		if ids[id] = true; !strings.Contains(string(out), id) && resp.StatusCode >= 400 {
			t.Errorf("%s %s: no request id in %s", method, path, out)
		}
		for _, v := range planted {
			if resp.StatusCode >= 400 && bytes.Contains(out, []byte(v)) {
				t.Errorf("%s %s answers %d and repeats %q: %s", method, path, resp.StatusCode, v, out)
			}
		}
	}
	for _, v := range planted {
		q := url.QueryEscape(v)
		for _, path := range []string{"/" + url.PathEscape(v), "/v1/records/" + url.PathEscape(v), "/v1/records/" + url.PathEscape(v) + "/proof",
			"/v1/records?digest=" + q, "/v1/records?dossier=" + q, "/v1/records?" + q, "/v1/records?dossier=" + strings.Repeat("a", 32) + "&cursor=" + q,
			"/v1/consistency?from=" + q + "&to=2", "/tlog/tile/" + url.PathEscape(v) + "/000", "/tlog/tile/0/" + url.PathEscape(v), "/tlog/" + url.PathEscape(v),
			"/v1/keys?member=" + q, "/v1/seals?size=" + q, "/v1/status?" + q + "=" + q, "/v1/keys?member=" + apitest.Node + "&member=" + q} {
			send("GET", path, nil)
			send("GET", path, nil, "Signature-Input", "", "Signature", "")
		}
		for _, input := range []string{v, `sig=("` + v + `");keyid="` + v + `"`, `sig=("@method" "@target-uri");keyid="` + v + `";tag="` + v + `";nonce="` + v + `"`, v + `=("@method")`} {
			send("GET", "/v1/seals", nil, "Signature-Input", input, "Signature", "sig=:"+base64.StdEncoding.EncodeToString([]byte(v))+":")
			send("GET", "/v1/seals", nil, "Signature", input)
		}
		send("GET", "/v1/status", nil, "Authorization", url.QueryEscape(v), "Cookie", "x="+q, "X-Request-Id", q, "User-Agent", q, "Referer", q, "Signature-Input", q)
		send("POST", "/v1/records", good.Raw, "Content-Type", "application/"+q, "Content-Disposition", "attachment; filename="+q)
		send("POST", "/v1/records", []byte(v))
		plantEverywhere(good.Raw, v, func(body []byte) { send("POST", "/v1/records", body) })
		plantEverywhere(entry, v, func(body []byte) { send("POST", "/v1/keys", body) })
	}
	send("POST", "/v1/records", good.Raw, "Authorization", planted[4])
	if answered[429] > 0 || answered[400] < 300 {
		t.Errorf("the answers by status are %v: too little was tried", answered)
	}
	checkLog(t, n.Log.String(), ids, append([]string{string(sub.Dossier), hex.EncodeToString(sub.Nonce[:]), string(good.Submissions[0].ID())}, planted...))
}

// checkLog holds every line against what must not be in it, and the lines of
// requests against the ids of the answers.
func checkLog(t *testing.T, log string, ids map[string]bool, secrets []string) {
	t.Helper()
	for _, v := range secrets {
		for _, form := range []string{v, url.QueryEscape(v), url.PathEscape(v)} {
			if form != "" && strings.Contains(log, form) {
				t.Errorf("the log holds %q", form)
			}
		}
	}
	access := map[string]int{}
	for line := range strings.Lines(log) {
		var l struct {
			Msg string `json:"msg"`
			ID  string `json:"request_id"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("no JSON: %s", line)
		}
		if l.Msg == "request" {
			access[l.ID]++
		}
		if strings.HasPrefix(l.Msg, "request") && !ids[l.ID] {
			t.Errorf("a line of a request that nobody sent: %s", line)
		}
	}
	for id := range ids {
		if access[id] != 1 {
			t.Errorf("%d access lines of request %s", access[id], id)
		}
	}
}

var (
	bodyKey   = regexp.MustCompile(`[{,]("[^"]*"):`)
	bodyValue = regexp.MustCompile(`[:\[,]("[^"]*"|[0-9]+)[,\]}]`)
)

// plantEverywhere replaces each key and each value of a body in turn.
func plantEverywhere(body []byte, v string, send func([]byte)) {
	for _, places := range [][][]int{bodyKey.FindAllSubmatchIndex(body, -1), bodyValue.FindAllSubmatchIndex(body, -1)} {
		for _, at := range places {
			send([]byte(string(body[:at[2]]) + `"` + v + `"` + string(body[at[3]:])))
		}
	}
}

// plain sends what the description of the interface does not know; reads are
// signed unless the headers say otherwise.
func plain(t *testing.T, n *apitest.TestNode, method, path string, body []byte, head ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, n.HTTP.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodGet {
		if err := n.ReadAs(req); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i+1 < len(head); i += 2 {
		if req.Header.Set(head[i], head[i+1]); head[i+1] == "" {
			req.Header.Del(head[i])
		}
	}
	resp, err := n.HTTP.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, out
}
