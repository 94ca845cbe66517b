fn main() -> std::process::ExitCode {
    if std::env::args().nth(1).as_deref() == Some(kubeops::sandbox::WORKER_ARGUMENT) {
        return kubeops::sandbox::worker_main();
    }
    std::process::ExitCode::SUCCESS
}
