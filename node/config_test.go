package node

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func valid() Config {
	c := Default()
	c.Member.ID = "court-a"
	return c
}

func TestConfigRendersAndParses(t *testing.T) {
	want := valid()
	want.Peer.Peers = []string{strings.Repeat("ab", 20) + "@127.0.0.1:8110"}
	text, err := want.Render()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseConfig(text)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	if !reflect.DeepEqual(*got, want) {
		t.Fatalf("read back %+v, want %+v", *got, want)
	}
	if strings.Contains(string(text), "BEGIN") {
		t.Fatal("a secret stands in the configuration")
	}
}

// TestConfigFieldsAreDocumented holds what the generated file says of each
// field against Default.
func TestConfigFieldsAreDocumented(t *testing.T) {
	def := reflect.ValueOf(Default())
	for i := range def.NumField() {
		section := def.Field(i)
		if section.Kind() == reflect.Map {
			continue // tables under names of their own: TestAnchorFieldsAreDocumented
		}
		for j := range section.NumField() {
			f := section.Type().Field(j)
			name := def.Type().Field(i).Tag.Get("toml") + "." + f.Tag.Get("toml")
			comment := f.Tag.Get("comment")
			if name == "member.id" {
				continue // has no default, and says so
			}
			want := fmt.Sprint(section.Field(j).Interface())
			switch v := section.Field(j).Interface().(type) {
			case string:
				want = fmt.Sprintf("%q", v)
			case Duration:
				b, err := v.MarshalText()
				if err != nil {
					t.Fatal(err)
				}
				want = fmt.Sprintf("%q", b)
			}
			if !strings.HasSuffix(comment, "Default "+want+".") {
				t.Errorf("%s: the comment does not end with %q: %s", name, "Default "+want+".", comment)
			}
			if !strings.Contains(comment, " · ") {
				t.Errorf("%s: the comment is not in both languages", name)
			}
		}
	}
}

func TestConfigRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		wants  string
	}{
		{"no member", func(c *Config) { c.Member.ID = "" }, "[member] id"},
		{"member in capitals", func(c *Config) { c.Member.ID = "Court" }, "[member] id"},
		{"API without a port", func(c *Config) { c.API.Listen = "127.0.0.1" }, "[api] listen"},
		{"API on every address", func(c *Config) { c.API.Listen = "0.0.0.0:8100" }, "allow_remote"},
		{"API on all, short form", func(c *Config) { c.API.Listen = ":8100" }, "allow_remote"},
		{"API on a name", func(c *Config) { c.API.Listen = "court.example:8100" }, "allow_remote"},
		{"a certificate without a key", func(c *Config) { c.API.TLSCert = "tls/cert.pem" }, "[api] tls_cert, tls_key"},
		{"a key without a certificate, remote", func(c *Config) { c.API.Listen, c.API.TLSKey = "0.0.0.0:8100", "tls/key.pem" }, "[api] tls_cert, tls_key"},
		{"an origin with a path", func(c *Config) { c.API.Origins = []string{"https://court.example/api"} }, "[api] origins"},
		{"port 0", func(c *Config) { c.API.Listen = "127.0.0.1:0" }, "[api] listen"},
		{"peer port too high", func(c *Config) { c.Peer.Listen = "0.0.0.0:65536" }, "[peer] listen"},
		{"peer without an id", func(c *Config) { c.Peer.Peers = []string{"127.0.0.1:8110"} }, "[peer] peers[0]"},
		{"peer with a short id", func(c *Config) { c.Peer.Peers = []string{"abcd@127.0.0.1:8110"} }, "[peer] peers[0]"},
		{"peer with a capital id", func(c *Config) { c.Peer.Peers = []string{strings.Repeat("AB", 20) + "@127.0.0.1:8110"} }, "[peer] peers[0]"},
		{"heartbeat too short", func(c *Config) { c.Chain.Heartbeat = 0 }, "[chain] heartbeat"},
		{"commit wait too long", func(c *Config) { c.Chain.TimeoutCommit = Duration(1e12) }, "[chain] timeout_commit"},
		{"no key file", func(c *Config) { c.Keys.Intake = "" }, "[keys] intake"},
		{"one file for two keys", func(c *Config) { c.Keys.Log = "keys/./intake.pem" }, "[keys] log"},
		{"no data folder", func(c *Config) { c.Data.Dir = "" }, "[data] dir"},
		{"unknown level", func(c *Config) { c.Log.Level = "loud" }, "[log] level"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := valid()
			tt.change(&c)
			if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tt.wants) {
				t.Fatalf("error %v; want one that names %q", err, tt.wants)
			}
		})
	}
}

func TestConfigAllows(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"the default":          func(*Config) {},
		"localhost":            func(c *Config) { c.API.Listen = "localhost:8100" },
		"IPv6 loopback":        func(c *Config) { c.API.Listen = "[::1]:8100" },
		"remote, when allowed": func(c *Config) { c.API.Listen, c.API.AllowRemote = "0.0.0.0:8100", true },
		"remote, with TLS": func(c *Config) {
			c.API.Listen, c.API.TLSCert, c.API.TLSKey = "0.0.0.0:8100", "tls/cert.pem", "tls/key.pem"
		},
		"loopback, with TLS": func(c *Config) { c.API.TLSCert, c.API.TLSKey = "tls/cert.pem", "tls/key.pem" },
	} {
		c := valid()
		change(&c)
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseConfigRefuses(t *testing.T) {
	text, err := (func() ([]byte, error) { c := valid(); return c.Render() })()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, text, wants string }{
		{"unknown field", string(text) + "colour = \"red\"\n", "unknown field log.colour"},
		{"unknown section", string(text) + "[nope]\nx = 1\n", "unknown field nope"},
		{"wrong type", "[member]\nid = 7\n", "line 2"},
		{"no TOML", "{\"member\":{}}", "line 1"},
		{"a field twice", "[member]\nid = \"court-a\"\nid = \"court-b\"\n", "id"},
		{"no duration", "[member]\nid = \"court-a\"\n[chain]\nheartbeat = \"soon\"\n", "line 4"},
		{"empty", "", "[member] id"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := ParseConfig([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.wants) {
				t.Fatalf("error %v; want one that names %q", err, tt.wants)
			}
		})
	}
	if c, err := ParseConfig([]byte("[member]\nid = \"court-a\"\n")); err != nil || c.API.Listen != Default().API.Listen {
		t.Fatalf("fields left out do not have their defaults: %+v, %v", c, err)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte("[member]\nid = \"court-a\"\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseConfig(b)
		if err != nil {
			return
		}
		text, err := c.Render()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseConfig(text); err != nil {
			t.Fatalf("what was accepted renders as what is refused: %v\n%s", err, text)
		}
	})
}
