package fabric

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qifeng/anchor"
	"qifeng/anchor/fabric/sdkwire"
	"qifeng/test/fabricnet"
)

// sdkProgram builds the program that holds fabric-sdk-go.
func sdkProgram(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "sdkdriver")
	if b, err := exec.Command("go", "build", "-o", out, "qifeng/anchor/fabric/sdkdriver").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return out
}

// sdkOf reaches a network through fabric-sdk-go; endpoint as in fabricnet.Profile.
func sdkOf(t *testing.T, n *fabricnet.Net, program, endpoint string) *sdkNetwork {
	t.Helper()
	user := n.Organisations[0].User
	net, err := OpenSDK(SDK{Program: program, Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Open: sdkwire.Open{Profile: n.Org1().Profile(t, endpoint), Certificate: user.Certificate, Key: user.Key, Channel: n.Channel, Chaincode: n.Chaincode}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { net.Close() })
	return net.(*sdkNetwork)
}

// TestSDKReads: what needs no transaction, through the program; and the program
// killed, and a call given up.
func TestSDKReads(t *testing.T) {
	n := fabricnet.Start(t, fabricnet.Options{LowS: true})
	net := sdkOf(t, n, sdkProgram(t), "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	config, err := net.Evaluate(ctx, "cscc", []byte("GetConfigBlock"), []byte(n.Channel))
	if err != nil || len(config) < 1000 {
		t.Fatalf("configuration block of %d bytes: %v", len(config), err)
	}
	refused := func() {
		t.Helper()
		_, err := net.Evaluate(ctx, n.Chaincode, []byte("head"), []byte("qifeng/nobody-00000000"))
		var r *Rejection
		if !errors.As(err, &r) {
			t.Fatalf("the head of a log that there is not: %v, want a rejection", err)
		}
		if _, ok := r.says("NOTFOUND"); !ok {
			t.Fatalf("the head of a log that there is not: %q", r.Messages)
		}
	}
	refused()
	if _, err := net.Endorse(ctx, []byte("head"), []byte("qifeng/nobody-00000000")); !errors.As(err, new(*Rejection)) {
		t.Fatalf("endorsing what the chaincode refuses: %v, want a rejection", err)
	}

	net.child.cmd.Process.Kill()
	if _, err := net.Evaluate(ctx, "cscc", []byte("GetConfigBlock"), []byte(n.Channel)); err == nil {
		refused() // the program's end was not seen yet; the next call starts it again
	}
	refused()

	n.Pause(t, n.Organisations[0].Peer.Name)
	short, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	began := time.Now()
	if _, err := net.Evaluate(short, n.Chaincode, []byte("head"), []byte("qifeng/nobody-00000000")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a peer that hangs: %v, want the deadline", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a call with a deadline of 1 s took %v", took)
	}
	n.Resume(t, n.Organisations[0].Peer.Name)
	refused()
}

// TestSDKHighS: the certificate that the SDK cannot handle is named, with the mend.
func TestSDKHighS(t *testing.T) {
	n := fabricnet.Start(t, fabricnet.Options{HighS: true})
	net := sdkOf(t, n, sdkProgram(t), "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := net.Evaluate(ctx, "cscc", []byte("GetConfigBlock"), []byte(n.Channel))
	if !errors.Is(err, anchor.ErrRefused) || !strings.Contains(err.Error(), "high-S") {
		t.Errorf("an organisation whose CA certificate has a high-S signature: %v, want it named", err)
	}
}
