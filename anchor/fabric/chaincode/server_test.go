package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"
)

// setting is a chaincode process's files, and the peer's certificate.
type setting struct {
	dir           string
	service, peer pair
	options       []string
}

func newSetting(t testing.TB) *setting {
	t.Helper()
	s := &setting{dir: t.TempDir(), service: newPair(t), peer: newPair(t)}
	for name, b := range map[string][]byte{"cert": s.service.pem, "key": s.service.key, "peer": s.peer.pem, "writers": []byte(writersHeader + "\n")} {
		if err := os.WriteFile(s.file(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.options = []string{"--id", "anchor_1:00", "--listen", "127.0.0.1:0", "--cert", s.file("cert"), "--key", s.file("key"),
		"--client-ca", s.file("peer"), "--policies", s.dir, "--writers", s.file("writers")}
	return s
}

func (s *setting) file(name string) string { return filepath.Join(s.dir, name) }

// dial connects as a peer with some certificate, or none.
func (s *setting) dial(t *testing.T, address string, certs ...tls.Certificate) peer.ChaincodeClient {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.service.pem)
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, Certificates: certs})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return peer.NewChaincodeClient(conn)
}

// serving runs the service; ended is closed when it has ended.
func (s *setting) serving(t *testing.T, c *contract) (address string, stop func(), ended <-chan struct{}) {
	t.Helper()
	conf, err := tlsConfig(s.file("cert"), s.file("key"), s.file("peer"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := serve(ctx, l, "anchor_1:00", conf, c); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return l.Addr().String(), cancel, done
}

func TestOnlyThePeer(t *testing.T) {
	s := newSetting(t)
	address, _, _ := s.serving(t, &contract{log: slog.New(slog.DiscardHandler)})
	stranger := newPair(t)
	for name, test := range map[string]struct {
		certs []tls.Certificate
		ok    bool
	}{
		"the peer":       {[]tls.Certificate{s.peer.tls(t)}, true},
		"no certificate": {nil, false},
		"a stranger":     {[]tls.Certificate{stranger.tls(t)}, false},
		"its own":        {[]tls.Certificate{s.service.tls(t)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			var m *peer.ChaincodeMessage
			stream, err := s.dial(t, address, test.certs...).Connect(ctx)
			if err == nil {
				m, err = stream.Recv()
			}
			if (err == nil) != test.ok || test.ok && m.Type != peer.ChaincodeMessage_REGISTER {
				t.Errorf("%v, %v", m, err)
			}
			if !test.ok && ctx.Err() != nil {
				t.Error("it was not refused but never answered")
			}
		})
	}
}

// A stop lets a call that has begun end, and its answer leave.
func TestStopWaits(t *testing.T) {
	s := newSetting(t)
	c := four(t)
	svc := serviceOf(t, c, "Org1MSP")
	address, stop, ended := s.serving(t, svc.contract)
	stream, err := s.dial(t, address, s.peer.tls(t)).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	recv := func(want peer.ChaincodeMessage_Type) *peer.ChaincodeMessage {
		t.Helper()
		m, err := stream.Recv()
		if err != nil || m.Type != want {
			t.Fatalf("%v, %v, want %v", m, err, want)
		}
		return m
	}
	send := func(m *peer.ChaincodeMessage) {
		t.Helper()
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	recv(peer.ChaincodeMessage_REGISTER)
	send(&peer.ChaincodeMessage{Type: peer.ChaincodeMessage_REGISTERED})
	send(&peer.ChaincodeMessage{Type: peer.ChaincodeMessage_READY})
	input, err := proto.Marshal(&peer.ChaincodeInput{Args: strs("head", c.origin())})
	if err != nil {
		t.Fatal(err)
	}
	send(&peer.ChaincodeMessage{Type: peer.ChaincodeMessage_TRANSACTION, Payload: input, Txid: "1", ChannelId: "anchors"})
	ask := recv(peer.ChaincodeMessage_GET_STATE) // the call is in flight and waits for us
	stop()
	select {
	case <-ended:
		t.Fatal("it ended with a call in flight")
	case <-time.After(150 * time.Millisecond): // longer than flush: it would have ended
	}
	send(&peer.ChaincodeMessage{Type: peer.ChaincodeMessage_RESPONSE, Txid: ask.Txid, ChannelId: ask.ChannelId})
	answer := recv(peer.ChaincodeMessage_COMPLETED)
	var r peer.Response
	if err := proto.Unmarshal(answer.Payload, &r); err != nil {
		t.Fatal(err)
	}
	refused(t, &r, notFound)
	<-ended
}

func TestCommandLine(t *testing.T) {
	s := newSetting(t)
	without := func(name string) []string {
		var out []string
		for i := 0; i < len(s.options); i += 2 {
			if s.options[i] != name {
				out = append(out, s.options[i:i+2]...)
			}
		}
		return out
	}
	spoil := func(name string, mode os.FileMode, text string) func() {
		return func() {
			if err := os.WriteFile(s.file(name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(s.file(name), mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name   string
		args   []string
		before func()
		code   int
		says   string
	}{
		{"help", []string{"--help"}, nil, 0, "链码"},
		{"nothing", nil, nil, 2, "--id is missing"},
		{"no policies", without("--policies"), nil, 2, "--policies is missing"},
		{"unknown option", append(without(""), "--tls=false"), nil, 2, "tls"},
		{"an argument", append(without(""), "x"), nil, 2, "unexpected argument"},
		{"runs and stops", s.options, nil, 0, "stopped"},
		{"no address", append(without("--listen"), "--listen", "256.0.0.1:1"), nil, 1, "listening"},
		{"no client certificates", s.options, spoil("peer", 0o600, "x"), 1, "--client-ca holds no certificate"},
		{"another key", s.options, spoil("key", 0o600, string(newPair(t).key)), 1, "certificate and key"},
		{"a key for all", s.options, spoil("key", 0o640, string(s.service.key)), 1, "chmod 600"},
		{"no key", s.options, func() { os.Remove(s.file("key")) }, 1, "the key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.before != nil {
				test.before()
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // asked to stop at once
			var out strings.Builder
			code := run(ctx, test.args, &out, slog.New(slog.NewTextHandler(&out, nil)))
			if code != test.code || !strings.Contains(out.String(), test.says) {
				t.Errorf("code %d, want %d; %s", code, test.code, out.String())
			}
			if strings.Contains(out.String(), "PRIVATE") {
				t.Error("a key is in the log")
			}
		})
	}
}
