package access

import "github.com/prometheus/client_golang/prometheus"

// metrics are the counters of access.
type metrics struct {
	loginOK, loginFailed, loginLimited, loginBusy prometheus.Counter
	denied                                        prometheus.Counter
	auditRows, auditFailures                      prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	logins := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "skein_logins_total", Help: "Login attempts by outcome.",
	}, []string{"outcome"})
	m := &metrics{
		loginOK:      logins.WithLabelValues("ok"),
		loginFailed:  logins.WithLabelValues("failed"),
		loginLimited: logins.WithLabelValues("limited"),
		loginBusy:    logins.WithLabelValues("busy"),
		denied: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skein_requests_denied_total", Help: "Requests refused for want of a valid credential.",
		}),
		auditRows: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skein_audit_rows_total", Help: "Rows written to the audit log.",
		}),
		auditFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skein_audit_failures_total", Help: "Rows that could not be written to the audit log.",
		}),
	}
	if reg != nil {
		reg.MustRegister(logins, m.denied, m.auditRows, m.auditFailures)
	}
	return m
}
