package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"qifeng/api/client"
	"qifeng/api/httpsig"
	"qifeng/bench"
)

// benchFlags are those of bench alone.
type benchFlags struct {
	bench.Config
	policy, file, commit, name string
}

func (a *app) benchCmd() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "压测一个运行中的节点，并在压测中验证证明 · Load a running node, verifying proofs meanwhile",
		Long: `按真实卷宗（身份核验、合同原件、签署意愿、签名、合同终稿）不断生成已签名的请求并提交，抽取一部分记录核对回执、
等候会签并离线验证证明，给出速率、时延（HDR 直方图）、内存与处理器用量。默认闭环：每个连接收到应答后再发下一个；
--rate 为开环：按固定时刻表发送，时延从应发时刻算起。收到 429、503 时闭环按 Retry-After 等待。最后等到全部会签。
退出码：0 全部兑现；1 有证明不成立、未会签或请求失败。会写入真实的记录：只用于压测的网络。

Makes and submits signed requests of realistic dossiers (identity check, contract, signing intent,
signature, final contract) one after the other, checks receipts and offline proofs of a sample
while it loads, and reports rates, latencies (HDR histograms), memory and processor time. The
closed loop is the default: a connection sends when it has been answered. --rate is the open
loop: requests are due at fixed times and latency counts from there. On 429 and 503 the closed
loop waits as Retry-After says. It ends when all is sealed. Exit code 0 if every acknowledged
record kept its promise, 1 if a proof does not verify, is missing, or a request failed. What it
writes are real records: use a network that is made for it.`,
		Example: example("qifeng bench --home devnet/vendor-a --records 100 --connections 32 --duration 60s --json run.json",
			"qifeng bench --home devnet/vendor-a --records 100 --rate 10000",
			"qifeng bench --api http://127.0.0.1:8103 --key submit.pem --read-key read.pem --policy policy.txt --records 1 --connections 256"),
		Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error { return a.bench(ctx, &f) }),
	}
	a.homeFlag(cmd)
	cmd.Flags().StringVar(&a.api, "api", a.getenv("QIFENG_API"), "节点接口地址，默认按成员目录的配置 · URL of the node's API, default by the home's configuration")
	cmd.Flags().StringVar(&a.ca, "ca", a.getenv("QIFENG_CA"), "https 接口另外信任的 CA 证书文件 (PEM) · PEM file of CA certificates to trust besides the system's, for an https API")
	a.keyFlag(cmd, "提交密钥，默认 <home>/keys/submit.pem · submit key, default that of the home")
	a.readKeyFlag(cmd)
	loadFlags(cmd, &f)
	cmd.AddCommand(a.benchPlainCmd(), a.benchEchoCmd(), a.benchLimitsCmd(), a.benchTableCmd())
	return cmd
}

func loadFlags(cmd *cobra.Command, f *benchFlags) {
	s := cmd.Flags()
	s.StringVar(&f.policy, "policy", "", "信任策略，默认 <home>/policy.txt · trust policy, default that of the home")
	s.IntVar(&f.Records, "records", 100, "每个请求的记录数 1 至 1000 · records a request, 1 to 1000")
	s.IntVar(&f.Connections, "connections", 32, "保持的连接数 · kept connections")
	s.DurationVar(&f.Duration, "duration", 10*time.Second, "测量窗口 · measured window")
	s.DurationVar(&f.Warmup, "warmup", 2*time.Second, "窗口之前的预热，不计入 · warm-up before the window, not measured")
	s.Float64Var(&f.Rate, "rate", 0, "开环：每秒记录数；0 为闭环 · open loop: records a second; 0 is the closed loop")
	s.Int64Var(&f.Total, "total", 0, "提交多少条后停止，0 不限 · records after which to stop, 0 for none")
	s.Float64Var(&f.Share, "sample", 0.05, "抽取多大一部分请求，各跟踪其中一条 · share of the requests of which one record is followed to its proof")
	s.IntVar(&f.Samples, "samples-per-second", 20, "每秒至多抽取几条 · samples a second at most")
	s.IntVar(&f.Lookups, "lookups", 0, "压测后按编号、证明、摘要各查询几次 · look-ups by id, of proofs and by digest, after the load")
	s.IntSliceVar(&f.Processes, "pid", nil, "节点的进程号，其后可列其他成员的 · process id of the node, then those of other members")
	s.StringVar(&f.Metrics, "metrics", "", "节点运行指标的地址，节点不在本机时用以代替 --pid · address of the node's metrics, instead of --pid for a node elsewhere")
	s.StringVar(&f.Chain, "chain-dir", "", "节点的链数据目录，测其增长 · folder of the node's chain, to measure its growth")
	s.StringVar(&f.file, "json", "", "原始结果写入此文件 · write the raw result to this file")
	s.StringVar(&f.name, "name", "load", "结果的名称 · name of the result")
	commitFlag(cmd, &f.commit)
}

func commitFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "commit", "", "写入结果的提交号，默认取自程序 · commit to state in the result, default what the program was built from")
}

func (a *app) bench(ctx context.Context, f *benchFlags) error {
	if err := f.Validate(); err != nil {
		return usagef("--%w", err)
	}
	if err := a.benchConfig(ctx, f); err != nil {
		return err
	}
	a.note("%s 上的压测：每请求 %d 条，%d 个连接，%v", "loading %s: %d records a request, %d connections, %v",
		f.URL, f.Records, f.Connections, f.Duration)
	r, err := bench.Run(ctx, f.Config)
	if err != nil {
		return err
	}
	if err := a.writeResult(f.file, r); err != nil {
		return err
	}
	if err := r.Print(a.out, string(a.lang)); err != nil {
		return err
	}
	if !r.OK() {
		return quietExit(exitFailed)
	}
	return nil
}

// benchConfig loads the keys and the policy, and finds the node.
func (a *app) benchConfig(ctx context.Context, f *benchFlags) error {
	path := a.key
	if path == "" {
		path = a.home.path(submitKey)
	}
	key, err := loadUserKey(path)
	if err != nil {
		return usagef("--key: %w", err)
	}
	read, err := a.readingKey("抽查的证明要用读取密钥（用途 read）取得", "the sampled proofs are read with a key of purpose read")
	if err != nil {
		return err
	}
	var o client.Options
	if o.CA, err = a.caFile(); err != nil {
		return err
	}
	if f.URL = a.api; f.URL == "" {
		cfg, err := a.home.config()
		if err != nil {
			return usagef("no --api, and no home to take it from: %w", err)
		}
		if f.URL, err = ownNode(a.home, &cfg.API, &o); err != nil {
			return err
		}
	}
	if f.TLS, err = trust(&o); err != nil {
		return err
	}
	c, err := newClient(f.URL, o)
	if err != nil {
		return err
	}
	if f.Policy, err = a.trustPolicy(ctx, c, f.policy); err != nil {
		return err
	}
	f.By = bench.Submitter{Chain: f.Policy.Chain, Member: key.Member, Key: key.Name, Signer: key}
	f.ReadKeyID, f.Reader = httpsig.KeyID(read.Member, read.Name), read
	f.Head = bench.NewHead(f.name, f.commit)
	return nil
}

// trust is what the load generator's own connections hold a certificate
// against; nil for what the system trusts.
func trust(o *client.Options) (*tls.Config, error) {
	if o.CA == nil {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a machine without any trusts the given ones alone
	}
	if !pool.AppendCertsFromPEM(o.CA) {
		return nil, errors.New("reading the CA certificates: no PEM certificate in them")
	}
	return &tls.Config{RootCAs: pool, ServerName: o.ServerName, MinVersion: tls.VersionTLS12}, nil
}

// writeResult writes a raw result, if a file was asked for.
func (a *app) writeResult(path string, r any) error {
	if path == "" {
		return nil
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return replaceFile(path, append(b, '\n'), 0o644)
}
