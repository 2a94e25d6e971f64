/** Says why the last attempt failed, and waits for the password. */
const REASONS = {
  password: 'That is not the password.',
  wait: 'Too many attempts. Wait half a minute, then try again.',
  origin: 'The form was not sent from this page. Try again.',
};

const reason = REASONS[new URLSearchParams(location.search).get('error')];
if (reason !== undefined) {
  const line = document.getElementById('error');
  line.textContent = reason;
  line.hidden = false;
}

document.getElementById('password').focus();
