package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"qifeng/test/testnet"
)

const vendor = testnet.Vendor

func TestMain(m *testing.M) { testnet.Main(m) }

// pid is the process that holds a folder's lock.
func pid(t testing.TB, n *testnet.Devnet, member string) int {
	t.Helper()
	b := testnet.Read(t, filepath.Join(n.Home(member), "lock"))
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// file writes a file of the test.
func file(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
