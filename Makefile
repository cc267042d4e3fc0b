.PHONY: run test build deb lint bench
run:
	@scripts/bootstrap run && exec .venv/bin/trayclaw
test build deb lint bench:
	@scripts/$@
