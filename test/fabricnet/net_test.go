package fabricnet

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A process that hangs, dies and comes back is what tests of the anchors are about.
func TestProcessesComeAndGo(t *testing.T) {
	n := Start(t, Options{LowS: true})
	c := n.Org1().Contract(t)

	n.Kill(t, n.Org1().Chaincode)
	if err := endorsable(c); err == nil {
		t.Fatal("the chaincode of the peer that was asked is dead, and the call was answered")
	}
	n.Start(t, n.Org1().Chaincode)
	n.Ready(t)

	n.StopAll(t)
	if err := endorsable(c); err == nil {
		t.Fatal("nothing runs, and the call was answered")
	}
	n.StartAll(t)
	n.Ready(t)

	again, err := script(n.Dir, "up")
	if err != nil || again != "" {
		t.Fatalf("a second up: %q, %v", again, err)
	}
	if _, err := script(n.Dir, "stop", "orderer2"); err == nil || !strings.Contains(err.Error(), "no process orderer2") {
		t.Fatalf("a process that there is not: %v", err)
	}
}

// A folder of somebody else's is left alone.
func TestForeignFolder(t *testing.T) {
	Require(t)
	dir, err := os.MkdirTemp("", "qifeng-fabric-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	precious := filepath.Join(dir, "precious")
	write(t, precious, []byte("x"))
	for _, command := range []string{"up", "down"} {
		if _, err := script(dir, command); err == nil {
			t.Errorf("%s took a folder with foreign files", command)
		}
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

// A process id that stands in the folder but belongs to another process is not ended.
func TestForeignProcess(t *testing.T) {
	n := Start(t, Options{})
	file := filepath.Join(n.Dir, "pid", "chaincode2")
	mine, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other, ended := bystander(t)
	write(t, file, []byte(strconv.Itoa(other.Process.Pid)+" 1\n")) // started at another time
	n.Kill(t, "chaincode2")
	select {
	case <-ended:
		t.Fatal("a process that the script had not started is ended")
	case <-time.After(100 * time.Millisecond):
	}
	write(t, file, mine)
	n.Kill(t, "chaincode2")
}

func TestOwnerGone(t *testing.T) {
	Require(t)
	dir, err := os.MkdirTemp("", "qifeng-fabric-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	net := filepath.Join(dir, "net")
	owner, ended := bystander(t)
	if _, err := script(net, "up", "--owner", strconv.Itoa(owner.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	deadline := time.Now().Add(30 * time.Second)
	for {
		if _, err := os.Stat(net); os.IsNotExist(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the network outlives its owner")
		}
		time.Sleep(50 * time.Millisecond) // between two looks, never for a result
	}
}

// bystander is a process that does nothing; the channel is closed when it has ended.
func bystander(t *testing.T) (*exec.Cmd, <-chan struct{}) {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	return cmd, ended
}
